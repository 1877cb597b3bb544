"""Layer 4: panels and alarms as data, what puts them in place, and the console (`python -m watch`)."""

"""What the tables of panels and alarms are made of: metrics, readings, thresholds, rules, and their rows."""

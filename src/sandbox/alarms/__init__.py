"""CloudWatch's alarms on a laptop: decided here as AWS decides them, and set through its API."""

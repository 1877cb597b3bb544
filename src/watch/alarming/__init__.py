"""From the table of alarms to alarms in CloudWatch, and how they stand there."""

"""What watch asks of AWS: alarms, the world that they are about, and the topics that they are sent to."""

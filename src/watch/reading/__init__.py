"""What the console and the alarms read, each room named for what it talks to."""

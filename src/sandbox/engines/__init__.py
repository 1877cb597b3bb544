"""What answers behind the sandbox's runtimes: a script, or a real small model."""

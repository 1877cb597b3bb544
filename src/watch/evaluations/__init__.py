"""What is shown of scores: which minutes are read for it, and what they come to. Pure."""

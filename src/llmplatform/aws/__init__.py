"""The platform's AWS: what stands in the account, and how a process reaches it."""

"""The operator's command, `llm-platform`."""

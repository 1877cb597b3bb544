"""Dialects: what is inside a backend's envelope. Pure: `ChatRequest` to bytes, bytes to events."""

"""Surfaces: what clients speak. Pure: a body to `ChatRequest`, events to bytes."""

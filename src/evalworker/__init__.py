"""Evaluation: has sampled requests judged, stores their scores, watches them for drift."""

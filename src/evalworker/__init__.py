"""Evaluation: reads sampled requests off the stream, has them judged, stores the scores, watches for drift."""

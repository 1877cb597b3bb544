"""Falling scores: baseline, sequential detector, and the job that runs them every minute."""

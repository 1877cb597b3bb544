"""Agreements: what two processes of the platform must agree on, and nothing that only one of them needs.

Everything directly in this package is pure. What talks to AWS is in `llmplatform.aws`; what belongs to
the life of a process (logging, tracing, shutdown) is in `llmplatform.process`.
"""

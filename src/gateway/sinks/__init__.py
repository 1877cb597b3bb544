"""Where what was observed goes: one module a receiver, each a `llmplatform.sinks.Sink`.

All share the loop in `batching`; a sink says how an item is encoded and how a batch is delivered.
"""

"""Where what only the gateway observes goes: one module a receiver, each a `llmplatform.sinks.Sink`.

Ledger rows and EMF lines, which other processes write too, are in `llmplatform`, as is the loop of them all.
"""

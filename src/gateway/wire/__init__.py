"""Framing: how a reply's bytes are cut into messages.

Pure decoders, fed with whatever a read returned. Each has three outcomes and never two: messages, "need
more bytes" (an empty list), or `BackendProtocolCorrupt`. What is inside a message belongs to
`gateway.dialects`; reading from the network to `gateway.backends`.
"""

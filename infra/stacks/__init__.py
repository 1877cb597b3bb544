"""One file a stack; `infra.app` puts them together."""

"""The request path: the single way in to both backends."""

"""What every process of the platform does the same way: logging, tracing, shutting down."""

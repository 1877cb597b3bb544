"""Requests as the console finds and explains them: all that is decided about them, and no IO."""

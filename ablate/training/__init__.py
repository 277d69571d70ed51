"""Training loops on the shared core."""

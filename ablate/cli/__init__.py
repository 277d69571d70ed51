"""Arguments in, text out; the only part that prints."""

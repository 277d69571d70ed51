"""Numbers first, then drawings."""

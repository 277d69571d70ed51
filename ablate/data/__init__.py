"""Data sets, prompt sets and the embedded world."""

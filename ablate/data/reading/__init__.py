"""Rows of files, and what they say."""

"""Artifacts, attempts and what a job sees of them."""

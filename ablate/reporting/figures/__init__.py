"""Drawings of numbers that are computed elsewhere."""

"""Equations on plain tensors."""

"""Cells to runs to jobs to a DAG with fingerprints; pure."""

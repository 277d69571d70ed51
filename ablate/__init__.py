"""Declarative ablation studies of preference learning: study, plan, jobs, runs, report."""

__version__ = "0.1.0"

"""Suites and their lm-eval adapter; the evaluation of policies and of reward models."""

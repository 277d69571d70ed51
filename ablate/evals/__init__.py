"""Suites, the lm-eval adapter, reward-model evaluation."""

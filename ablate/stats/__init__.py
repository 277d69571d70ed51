"""Estimates, paired effects, multiplicity, verdicts and power; numpy only, quick to load."""

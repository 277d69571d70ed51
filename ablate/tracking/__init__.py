"""MLflow, as a sink."""

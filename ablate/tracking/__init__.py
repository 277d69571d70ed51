"""Trackers as sinks: MLflow, TensorBoard and Weights & Biases, each at its own pace."""

"""Loading, token boundary, log-probabilities, sampling, batching."""

"""What is kept of a data set: filters, slices, caps and mixtures."""

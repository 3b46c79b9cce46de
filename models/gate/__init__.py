"""The gate: whether a candidate may serve, and why, in sentences a valuer understands."""

"""Homes as an Arrow IPC stream, and their values as another."""

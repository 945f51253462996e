"""Baseline policies with the same network, data, conditions and training loop as the method."""

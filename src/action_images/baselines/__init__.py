"""Policies that the method is compared with, on equal terms: the same network, data, conditions and training loop."""

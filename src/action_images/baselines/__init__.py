"""Policies that the method is compared with, on equal terms.

The same network, data, conditions and training loop.
"""

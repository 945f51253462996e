"""Backbones: tokens in, tokens out; one file for each family of transformers."""

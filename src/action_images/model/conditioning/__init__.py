"""Conditions of a backbone besides latents, text and noise levels: cameras, pixels, and canvas positions."""

"""Autoencoders: video to latents and back; one file for each kind."""

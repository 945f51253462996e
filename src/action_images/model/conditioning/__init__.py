"""What a backbone is shown besides latents, text and noise levels: cameras, pixels, and places on the
canvas."""

"""The video model: autoencoder, text, cameras and the denoiser between them."""

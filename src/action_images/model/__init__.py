"""The video model: autoencoder, text encoder, cameras and the denoiser."""

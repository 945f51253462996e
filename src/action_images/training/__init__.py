"""Training of models: one loop, from a laptop to many GPUs."""

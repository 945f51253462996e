"""How models learn: one loop, from a laptop to many GPUs."""

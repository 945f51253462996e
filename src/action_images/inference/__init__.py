"""What the model is used for: clips generated from scenes, labels, simulation, imagination."""

"""Uses of the model: clips generated from scenes, labels, simulation, imagined futures."""

"""From samples to canvases and back: read `pipeline.pipeline` first."""

from action_images.pipeline.pipeline import Pipeline, Prediction

__all__ = ["Pipeline", "Prediction"]

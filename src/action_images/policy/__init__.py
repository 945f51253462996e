"""Generative policies: take an observation, generate action images, and read a plan from them."""

from action_images.policy.best_of import BestOf, Proposer
from action_images.policy.generative import GenerativePolicy

__all__ = ["BestOf", "GenerativePolicy", "Proposer"]

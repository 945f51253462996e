"""Policies that imagine: an observation in, a plan read off generated action images out."""

from action_images.policy.best_of import BestOf, Proposer
from action_images.policy.generative import GenerativePolicy

__all__ = ["BestOf", "GenerativePolicy", "Proposer"]

"""The other uses of the model that plans: label videos, simulate actions, imagine both."""

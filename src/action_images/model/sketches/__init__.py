"""Networks as operations without numbers, from which `model.cost` counts their cost."""

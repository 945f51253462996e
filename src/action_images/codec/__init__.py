"""Actions as images."""

"""Work in several processes: pools here, strangers' files apart, a Ray cluster."""

"""Work in several processes: pools, isolation for untrusted files, and a Ray cluster."""

"""Episodes on disk: video, cameras and trajectories, read from our own format and from others."""

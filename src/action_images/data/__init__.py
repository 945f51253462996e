"""Episodes: video, cameras and trajectories on disk, and the samples cut from them."""

"""Looking at things: episodes, action images, canvases, rollouts."""

"""What several commands share and is about the terminal alone: options, progress and tables."""

"""Parts that several commands share and that concern the terminal alone: options, progress and tables."""

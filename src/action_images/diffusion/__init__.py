"""Flow matching: noise levels, the loss, and sampling."""

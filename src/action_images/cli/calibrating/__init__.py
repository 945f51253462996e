"""Parts of the calibrate command."""

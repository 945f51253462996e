"""`python -m action_images` runs the command line."""

import sys

from action_images.cli import main

if __name__ == "__main__":
    sys.exit(main())

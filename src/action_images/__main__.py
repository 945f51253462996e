"""`python -m action_images` is the command line."""

import sys

from action_images.cli import main

if __name__ == "__main__":
    sys.exit(main())

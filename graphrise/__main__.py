"""`python -m graphrise`."""

import sys

from graphrise.cli import main

if __name__ == "__main__":
    sys.exit(main())

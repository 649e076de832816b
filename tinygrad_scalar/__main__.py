"""`python -m tinygrad_scalar`: the command line."""

import sys

from tinygrad_scalar.cli import main

if __name__ == "__main__":
    sys.exit(main())

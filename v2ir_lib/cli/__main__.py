"""`python -m v2ir_lib.cli`, the command without its script."""

import sys

from v2ir_lib.cli import main

if __name__ == "__main__":  # worker processes import this module too
    sys.exit(main())

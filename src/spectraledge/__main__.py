"""``python -m spectraledge`` is the command ``spectraledge``."""

import sys

from spectraledge.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``python -m txbridge`` is the program."""

from __future__ import annotations

import sys

from txbridge.daemon.cli import main

if __name__ == "__main__":
    sys.exit(main())

"""``ancilla worker`` whose process loads its libraries when a task needs them, and not after each time a test has ended it."""

import os
import sys

from node import __main__, lane

if __name__ == "__main__":
    lane.ready = os.getpid  # type: ignore[assignment]
    sys.exit(__main__.main())

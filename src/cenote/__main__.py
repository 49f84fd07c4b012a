"""``python -m cenote``: the command, as ``torchrun -m cenote`` needs it."""

import sys

from cenote.cli import main

sys.exit(main())

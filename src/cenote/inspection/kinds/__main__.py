"""Draw every kind into a folder: ``python -m cenote.inspection.kinds docs/images/kinds``."""

import sys
from pathlib import Path

from cenote.inspection.kinds import KINDS, draw_kind

if len(sys.argv) != 2:
    sys.exit("usage: python -m cenote.inspection.kinds FOLDER")
folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
for name in KINDS:
    draw_kind(name, folder / f"{name}.svg")

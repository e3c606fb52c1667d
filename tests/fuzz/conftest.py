"""The targets use what the tests of containers and flows are made from."""

import sys
from pathlib import Path

sys.path.extend(str(Path(__file__).resolve().parents[1] / folder) for folder in ("container", "flows", "fuzz"))

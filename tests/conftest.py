"""Set before torch is loaded: waiting threads sleep, so that tests do not crawl on busy cores."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

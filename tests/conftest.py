"""Set before torch is loaded: waiting threads sleep, so that tests do not crawl on busy cores."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hypothesis import settings

# How long an example takes says something about the machine, not about the law.
settings.register_profile("neuralcipher", deadline=None, print_blob=True)
settings.load_profile("neuralcipher")

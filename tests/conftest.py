"""Set before torch is loaded: one thread for each process, since several tests run at once, and a wait sleeps."""

import os
import signal

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from hypothesis import settings

# How long an example takes says something about the machine, not about the law.
settings.register_profile("neuralcipher", deadline=None, print_blob=True)
settings.load_profile("neuralcipher")

# Shells start background jobs with ^C ignored, and the commands under test would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

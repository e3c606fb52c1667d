"""How threads wait: set once for the process, unless the user has said it."""

import json
import os
import subprocess
import sys

import pytest

SHOW = """
import json, os
from neuralcipher.process import good_neighbour
good_neighbour()
print(json.dumps([os.environ.get("OMP_WAIT_POLICY"), os.environ.get("GOMP_SPINCOUNT")]))
"""


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({}, ["PASSIVE", "10000"]),
        ({"GOMP_SPINCOUNT": "7"}, ["PASSIVE", "7"]),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, ["ACTIVE", None]),
    ],
)
def test_threads_spin_for_a_moment_unless_told_otherwise(given: dict[str, str], found: list[str | None]) -> None:
    plain = {name: text for name, text in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    made = subprocess.run([sys.executable, "-c", SHOW], env=plain | given, check=True, capture_output=True)
    assert json.loads(made.stdout) == found

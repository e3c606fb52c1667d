"""What the shell offers behind TAB as the value of an option or argument, without importing torch.

Each function takes the word so far and returns what it can become. Where it returns nothing, the shell offers files.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from neuralcipher.registry import entry_names

Completer = Callable[[str], list[str]]

_PLAIN = re.compile(r"[\w./+@%,-]+", re.ASCII)
"""Names that no shell asks to be quoted."""


def _starting(names: list[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _installed(group: str) -> Completer:
    """Names of the variants of a kind, also those that other packages bring."""

    def complete(incomplete: str) -> list[str]:
        return _starting(entry_names(group), incomplete)

    return complete


flows = _installed("neuralcipher.flows")
generators = _installed("neuralcipher.generators")
attacks = _installed("neuralcipher.attacks")


def several_flows(incomplete: str) -> list[str]:
    """Names with commas between; none twice."""
    before, comma, last = incomplete.rpartition(",")
    chosen = before.split(",")
    return [before + comma + name for name in flows(last) if name not in chosen]


def presets(incomplete: str) -> list[str]:
    """How long to seal."""
    from neuralcipher.pipeline.options import PRESETS

    return _starting(list(PRESETS), incomplete)


def suites(incomplete: str) -> list[str]:
    """How the networks are wrapped."""
    from neuralcipher.container import SUITES

    return _starting(list(SUITES), incomplete)


def aeads(incomplete: str) -> list[str]:
    """What encrypts the payload."""
    from neuralcipher.container import AEAD_NAMES

    return _starting(list(AEAD_NAMES), incomplete)


def devices(incomplete: str) -> list[str]:
    """Where to compute."""
    return _starting(["auto", "cpu", "cuda"], incomplete)


def bundles(incomplete: str) -> list[str]:
    """Bundles in the folder of the word so far.

    Nothing, so that the shell offers every file and quotes it, where there are none or where a name needs quoting.
    """
    head, slash, tail = incomplete.rpartition("/")
    if incomplete and not _PLAIN.fullmatch(incomplete):
        return []
    try:
        found = sorted(path.name for path in Path(head + slash or ".").iterdir() if path.suffix == ".ncv")
    except OSError:
        return []
    hidden = tail.startswith(".")
    names = [name for name in _starting(found, tail) if hidden or not name.startswith(".")]
    if any(not _PLAIN.fullmatch(name) or name.startswith("-") for name in names):
        return []
    return [head + slash + name for name in names]

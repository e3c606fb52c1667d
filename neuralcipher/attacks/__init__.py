"""The attack suite: which of the paper's claims hold for a generator or a bundle, for whom, by how much."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neuralcipher.attacks.preload import warm

if TYPE_CHECKING:
    from neuralcipher.attacks.engine import Report
    from neuralcipher.keys import Credential

__all__ = ["run"]


def run(
    target: str | os.PathLike[str],
    *,
    keys: Sequence[Credential] = (),
    shape: tuple[int, int, int] = (3, 128, 128),
    options: Mapping[str, int] | None = None,
    assume_opened: bool = False,
    only: Sequence[str] = (),
    skip: Sequence[str] = (),
    depth: str = "quick",
    seed: int = 0,
    budget_s: float | None = None,
    jobs: int = 1,
    progress: Callable[[str, float], None] = lambda name, fraction: None,
) -> Report:
    """Attack a generator by name, or a bundle by path, as `ncipher attack` does, and return what was found.

    target: a bundle's path if `keys` are given, else a generator such as "feistel" or "weak-lcg32". shape, options:
    of a generator's latent, (C, H, W), and of its configuration, such as {"rounds": 2}. assume_opened: look behind the
    outer encryption of a sealed bundle. only, skip: names of attacks. depth: "quick" or "full". jobs: processes; more
    than one needs an importable main module, as `multiprocessing` does. progress: called with the attack at hand and
    the fraction of the run. Raises UsageError, the errors of opening, and Stopped on KeyboardInterrupt.
    """
    if jobs > 1:
        warm()
    from neuralcipher.attacks.engine import choose, run_suite
    from neuralcipher.attacks.session import Settings
    from neuralcipher.attacks.targets import BundleTarget, GeneratorTarget, PackedCredential, Target

    chosen: Target
    if keys:
        chosen = BundleTarget(Path(target), tuple(PackedCredential.pack(key) for key in keys), assume_opened)
    else:
        chosen = GeneratorTarget(os.fspath(target), shape, dict(options or {}))
    settings = Settings(depth, seed, budget_s)
    return run_suite(chosen, settings=settings, attacks=choose(only, skip), jobs=jobs, progress=progress)

"""The settings of a run, its random draws, and the clock that an attack works against."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import torch

from neuralcipher.errors import UsageError

T = TypeVar("T")

DEPTHS = ("quick", "full")


@dataclass(frozen=True, slots=True)
class Settings:
    """What a run is asked to do: the same settings give the same draws, whatever the number of processes.

    depth: "quick" (all attacks within 2 minutes on two cores) or "full" (within an hour). seed: of every draw.
    budget_s: seconds for the whole run, shared out by the attacks' weights; None: as the depth has it, where sample
    sizes and not clocks end the work. device: where gradients are taken.
    """

    depth: str = "quick"
    seed: int = 0
    budget_s: float | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise UsageError(f"no depth is called {self.depth!r}", hint=f"there are: {', '.join(DEPTHS)}")
        if self.budget_s is not None and not 0 < self.budget_s < 10**9:
            raise UsageError(f"a budget is a positive number of seconds, not {self.budget_s:g}", hint="leave it out")
        if not 0 <= self.seed < 2**63:
            raise UsageError(f"a seed is a number in 0..2**63-1, not {self.seed}", hint="choose another one")

    @property
    def is_full(self) -> bool:
        return self.depth == "full"


@dataclass(slots=True)
class Run:
    """One attack's share of a run.

    settings: of the run. attack: the attack's name, part of the seed of every draw. role: "positive", "negative" or
    "target", so that the three do not share draws. seconds: its share of the budget, None without one.
    progress: called with the fraction done, 0..1; it may raise to stop.
    """

    settings: Settings
    attack: str
    role: str = "target"
    seconds: float | None = None
    progress: Callable[[float], None] = lambda fraction: None
    _started: float = field(default_factory=time.monotonic)

    def pick(self, *, quick: T, full: T) -> T:
        """A sample size or an effort by the depth of the run."""
        return full if self.settings.is_full else quick

    def seed(self, label: str) -> int:
        """A number in 0..2**63-1 that depends on the run's seed, the attack, the role and the label."""
        text = f"{self.settings.seed} {self.attack} {self.role} {label}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1

    def draw(self, label: str) -> np.random.Generator:
        """A source of random numbers of its own for each label."""
        return np.random.default_rng(self.seed(label))

    def torch_draw(self, label: str) -> torch.Generator:
        """The same for torch, on the CPU."""
        return torch.Generator().manual_seed(self.seed(label))

    def key_bytes(self, label: str, number: int) -> bytes:
        """32 bytes of a fresh key: a function of the seed, so that a report can be made again."""
        text = f"key {self.settings.seed} {self.attack} {self.role} {label} {number}"
        return hashlib.sha256(text.encode()).digest()

    def out_of_time(self) -> bool:
        """Whether the share of the budget is spent: stop early, and say that the row is not decidable."""
        return self.seconds is not None and time.monotonic() - self._started > self.seconds

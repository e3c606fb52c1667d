"""What every attack states and returns: property, threat model, statistic, null, rule, controls, verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from neuralcipher.registry import Registry

if TYPE_CHECKING:
    from neuralcipher.attacks.figures import Figure
    from neuralcipher.attacks.session import Run
    from neuralcipher.attacks.subjects import Subject

LEVEL = 0.001
"""Family-wise level of the suite: the chance that an ideal target has any row BROKEN."""

SUITE_ROWS = 25
"""Rows of the catalogue. A control is judged at LEVEL / SUITE_ROWS, the hardest level that Holm asks of any row."""

CONTROL_LEVEL = LEVEL / SUITE_ROWS


class Verdict(str, Enum):
    """How a row ends. There is no word for "secure": an attack can only fail at what it was given."""

    BROKEN = "BROKEN"
    NOT_BROKEN = "NOT BROKEN AT BUDGET"
    INCONCLUSIVE = "INCONCLUSIVE"
    INVALID = "INVALID"
    ERROR = "ERROR"


class ThreatModel(str, Enum):
    """What the attacker has beside everything but the key (Kerckhoffs)."""

    KNOWN_CIPHERTEXT = "KC"
    KNOWN_PLAINTEXT = "KP"
    CHOSEN_PLAINTEXT = "CP"
    STATE_COMPROMISE = "SC"
    NEAR_KEY = "NK"
    REUSED_KEY = "RK"
    ACTIVE = "active"


PROPERTIES: Mapping[int, str] = {
    1: "a small change to z gives unrelated output",
    2: "no part of the output can be predicted",
    3: "preimages cost as much as brute force",
    4: "collisions cost as much as brute force",
}
"""The four properties that the paper claims for h: z -> x."""


class Needs(str, Enum):
    """What an attack works on: g alone, the pair <g, F> with its video, or a bundle file."""

    GENERATOR = "generator"
    PAIR = "pair"
    BUNDLE = "bundle"


@dataclass(frozen=True, slots=True)
class Info:
    """What an attack states before it is run; `ncipher attack --list` and the report show it.

    number: in the catalogue, 0 for one that is not in it. title: a few words. properties: of PROPERTIES; () for what
    is outside them. statistic, null, rule: one line each. positive, negative: the controls, in words. failure: what a
    BROKEN row would mean, for a reader who is no statistician. weight: share of a run's budget, 1 is usual.
    """

    number: int
    name: str
    title: str
    properties: tuple[int, ...]
    threat_models: tuple[ThreatModel, ...]
    needs: Needs
    statistic: str
    null: str
    rule: str
    positive: str
    negative: str
    failure: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one run of an attack on one subject found.

    value: the statistic, in `unit`. interval: exact, permutation or bootstrap, at `confidence`, or None.
    threshold: what value is compared with, None where the p-value decides. p_value: under the null, or None where
    `broken` decides alone. broken: the decision of a rule without a p-value; ignored beside one. decidable: whether
    n was large enough for the effect that the attack states; False makes the row INCONCLUSIVE unless it is broken.
    samples: independent units (keys, pairs of keys, sequences). known: a break by design, recorded and not counted in
    the headline. flags: validity flags, such as "zero gradient". details: plain JSON. note: one sentence for the
    reader. effort: what the budget B was, in words, such as "400 Adam steps, 4 restarts".
    """

    value: float
    unit: str
    samples: int
    interval: tuple[float, float] | None = None
    confidence: float = 0.95
    threshold: float | None = None
    p_value: float | None = None
    broken: bool = False
    decidable: bool = True
    known: bool = False
    effort: str = ""
    note: str = ""
    flags: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()

    def rejects(self, level: float) -> bool:
        """Whether this measurement alone is a break at `level`."""
        return self.broken if self.p_value is None else self.p_value <= level


class Attack(Protocol):
    """One attack. Without state: the same object may run on many subjects.

    `measure` is called three times in a run: on the two controls, then on the target, with the same settings.
    """

    info: ClassVar[Info]

    def controls(self, subject: Subject, run: Run) -> tuple[Subject, Subject]:
        """(positive, negative): subjects like `subject`; the first must be BROKEN, the second must not."""
        ...

    def measure(self, subject: Subject, run: Run) -> Measurement:
        """Attack the subject. Raises NotApplicable if the target gives this attack nothing to work on."""
        ...


class NotApplicable(Exception):  # noqa: N818  (it is an answer, not an error)
    """The attack has nothing to work on in this target; the text says why and becomes the row's note."""


registry: Registry[type[Attack]] = Registry("neuralcipher.attacks", "attack")
register = registry.register


def find(name: str) -> type[Attack]:
    """The attack called `name`. Raises UsageError, naming the nearest, if there is none."""
    return registry.get(name)


def catalogue() -> list[Info]:
    """Every registered attack by its number, then by its name."""
    return sorted((find(name).info for name in registry.names()), key=lambda info: (info.number or 1000, info.name))

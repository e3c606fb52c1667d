"""One row of a report: an attack on its two controls and on the target, and the verdict that follows."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from neuralcipher.attacks.base import CONTROL_LEVEL, LEVEL, Attack, Info, Measurement, NotApplicable, Verdict
from neuralcipher.attacks.ranks import holm
from neuralcipher.attacks.session import Run, Settings
from neuralcipher.attacks.subjects import Subject

ROLES = ("positive", "negative", "target")


@dataclass(frozen=True, slots=True)
class Row:
    """What one attack found. positive, negative, target: None if that part was not reached.

    adjusted: the target's p-value after Holm over the suite, None without one. error: what an attack that crashed
    said, without values of variables. skipped: why there was nothing to attack, or "".
    """

    info: Info
    verdict: Verdict
    seconds: float
    positive: Measurement | None = None
    negative: Measurement | None = None
    target: Measurement | None = None
    adjusted: float | None = None
    error: str = ""
    skipped: str = ""

    @property
    def known(self) -> bool:
        """Whether it is a break by design, which does not count for the headline."""
        return self.target is not None and self.target.known


def verdict_text(verdict: Verdict, known: bool) -> str:
    """A verdict as reports show it. known: whether a break is one by design."""
    return "BROKEN BY DESIGN" if known and verdict is Verdict.BROKEN else verdict.value


def run_attack(
    kind: type[Attack],
    subject: Subject,
    settings: Settings,
    *,
    seconds: float | None = None,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Row:
    """Run an attack on its controls and on the subject; its verdict is provisional until `settle`.

    seconds: its share of the budget, a third of it for each part. An attack that raises ends as a row ERROR.
    """
    info, started = kind.info, time.monotonic()
    found: dict[str, Measurement] = {}
    row = Row(info, Verdict.ERROR, 0.0)

    def run_for(role: str) -> Run:
        part = ROLES.index(role)
        share = None if seconds is None else seconds / 3
        return Run(settings, info.name, role, share, lambda fraction: progress((part + min(1.0, fraction)) / 3))

    try:
        attack = kind()
        positive, negative = attack.controls(subject, run_for("target"))
        for role, where in zip(ROLES, (positive, negative, subject), strict=True):
            found[role] = attack.measure(where, run_for(role))
    except NotApplicable as reason:
        row = replace(row, verdict=Verdict.INCONCLUSIVE, skipped=str(reason))
    except Exception as error:
        row = replace(row, error=_describe(error))
    row = replace(
        row,
        seconds=time.monotonic() - started,
        positive=found.get("positive"),
        negative=found.get("negative"),
        target=found.get("target"),
    )
    return settle([row])[0]


def settle(rows: Sequence[Row]) -> list[Row]:
    """The final verdicts: the gate by controls, then Holm over the p-values of all targets. Skipped rows stay."""
    tested = [row for row in rows if row.target is not None and row.target.p_value is not None and _passed(row)]
    p_values = [row.target.p_value for row in tested if row.target is not None and row.target.p_value is not None]
    adjusted = {id(row): p for row, p in zip(tested, holm(p_values), strict=True)}
    return [_verdict(row, adjusted.get(id(row))) for row in rows]


def gate(row: Row) -> str:
    """Why the controls make this row INVALID, or "" if they do not."""
    if row.positive is not None and not row.positive.rejects(CONTROL_LEVEL):
        return "the positive control was not caught"
    if row.negative is not None and row.negative.rejects(CONTROL_LEVEL):
        return "the negative control was not passed"
    return ""


def _passed(row: Row) -> bool:
    return row.positive is not None and row.negative is not None and not gate(row)


def _verdict(row: Row, adjusted: float | None) -> Row:
    row = replace(row, adjusted=adjusted)
    if row.skipped:
        return row
    if row.error:
        return replace(row, verdict=Verdict.ERROR)
    if not _passed(row) or row.target is None:
        controls = [m for m in (row.positive, row.negative) if m is not None]
        starved = gate(row) and not all(m.decidable for m in controls)
        return replace(row, verdict=Verdict.INCONCLUSIVE if starved else Verdict.INVALID)
    broken = row.target.broken if adjusted is None else adjusted <= LEVEL
    if broken:
        return replace(row, verdict=Verdict.BROKEN)
    return replace(row, verdict=Verdict.NOT_BROKEN if row.target.decidable else Verdict.INCONCLUSIVE)


def _describe(error: Exception) -> str:
    """The type, the message and the place: never the values of variables, which may be secrets."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {frames[-1].name}, line {frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"

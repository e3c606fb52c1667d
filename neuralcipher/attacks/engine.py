"""Runs attacks on a target: which, in how many processes, for how long; and the report that comes out."""

from __future__ import annotations

import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from neuralcipher.attacks import workers
from neuralcipher.attacks.base import Attack, Info, NotApplicable, Verdict, find, registry
from neuralcipher.attacks.judge import Row, run_attack, settle
from neuralcipher.attacks.resume import Journal
from neuralcipher.attacks.session import Settings
from neuralcipher.attacks.targets import Target
from neuralcipher.errors import NeuralCipherError
from neuralcipher.flows.device import one_thread

ProgressCallback = Callable[[str, float], None]
"""Called with the attack that moved on and the fraction of the whole run, 0..1; may raise to stop."""

_WORST_FIRST = (Verdict.BROKEN, Verdict.ERROR, Verdict.INVALID, Verdict.INCONCLUSIVE, Verdict.NOT_BROKEN)


@dataclass(frozen=True, slots=True)
class Report:
    """What a run found.

    target: what was attacked, with hashes. rows: in the order of the catalogue; those with `skipped` had nothing to
    attack. started: ISO 8601, UTC. command: what makes this report again, "" if not from the command line.
    partial: whether the run was stopped before its end.
    """

    target: Mapping[str, Any]
    settings: Settings
    rows: tuple[Row, ...]
    seconds: float
    started: str
    versions: Mapping[str, str]
    command: str = ""
    partial: bool = False

    @property
    def verdict(self) -> Verdict:
        """The worst row; breaks by design count only beside nothing else. INCONCLUSIVE if nothing was attacked."""
        attacked = [row for row in self.rows if not row.skipped]
        counted = {row.verdict for row in attacked if not row.known} or {row.verdict for row in attacked}
        return next((verdict for verdict in _WORST_FIRST if verdict in counted), Verdict.INCONCLUSIVE)

    def _repr_html_(self) -> str:
        """For notebooks: the headline and one row for each attack."""
        from neuralcipher.attacks.report.summary import summarised, summary_fragment  # they draw, running does not

        return summary_fragment(summarised(self))


@dataclass(slots=True)
class _Progress:
    """Adds up what the attacks report, by their weights."""

    weights: Mapping[str, float]
    tell: ProgressCallback
    done: dict[str, float] = field(default_factory=dict)

    def __call__(self, name: str, fraction: float) -> None:
        self.done[name] = max(self.done.get(name, 0.0), min(1.0, fraction))
        total = sum(self.weights.values()) or 1.0
        self.tell(name, sum(self.weights[n] * part for n, part in self.done.items()) / total)


class Stopped(Exception):  # noqa: N818  (the user asked for it)
    """A run that was interrupted; `report` holds the rows that were finished, and is partial."""

    def __init__(self, report: Report) -> None:
        super().__init__("the run was stopped")
        self.report = report


def choose(only: Sequence[str] = (), skip: Sequence[str] = ()) -> list[type[Attack]]:
    """The attacks to run, in the order of the catalogue. Raises UsageError, naming the nearest, for an unknown one."""
    for name in (*only, *skip):
        find(name)
    names = [name for name in registry.names() if (not only or name in only) and name not in skip]
    return sorted((find(name) for name in names), key=lambda kind: (kind.info.number or 1000, kind.info.name))


def run_suite(
    target: Target,
    *,
    settings: Settings | None = None,
    attacks: Sequence[type[Attack]] | None = None,
    jobs: int = 1,
    journal: Journal | None = None,
    command: str = "",
    progress: ProgressCallback = lambda name, fraction: None,
) -> Report:
    """Run attacks on a target and judge them together.

    attacks: default all that are registered. jobs: processes; the draws, and so the verdicts, do not depend on it,
    but with a `budget_s` how far each attack gets does. journal: keeps finished rows and gives back those of an
    earlier run with the same target and settings. Raises Stopped, with a partial report, on KeyboardInterrupt.
    """
    settings = settings or Settings()
    kinds = list(attacks) if attacks is not None else choose()
    started, clock = datetime.now(timezone.utc), time.monotonic()
    rows: dict[str, Row] = {}

    def report(*, partial: bool) -> Report:
        order = [rows[kind.info.name] for kind in kinds if kind.info.name in rows]
        return Report(
            described,
            settings,
            tuple(settle(order)),
            time.monotonic() - clock,
            started.isoformat(timespec="seconds"),
            _versions(),
            command,
            partial,
        )

    described = target.describe()
    show = _Progress({kind.info.name: kind.info.weight for kind in kinds}, progress)
    try:
        prepared = target.prepare()
        described = prepared.describe()
        kept = None if journal is None else journal.open(described, settings)
        if kept is not None:
            rows.update(kept.rows([kind.info for kind in kinds]))
        waiting = [kind for kind in kinds if kind.info.name not in rows]
        for name in rows:
            show(name, 1.0)
        shares = _shares([kind.info for kind in waiting], settings, jobs)
        work = _in_turn if jobs == 1 else workers.in_processes(jobs)
        # Of the run and not of an attack, so that it goes even if a worker is killed: it may hold copies of a bundle.
        with tempfile.TemporaryDirectory(prefix="ncipher-attack-") as scratch:
            for row in work(prepared, waiting, settings, shares, Path(scratch), show):
                rows[row.info.name] = row
                show(row.info.name, 1.0)
                if kept is not None:
                    kept.add(row)
    except KeyboardInterrupt:
        raise Stopped(report(partial=True)) from None
    return report(partial=False)


def _in_turn(
    target: Target,
    kinds: Iterable[type[Attack]],
    settings: Settings,
    shares: Mapping[str, float | None],
    scratch: Path,
    progress: ProgressCallback,
) -> Iterator[Row]:
    """One attack after another, in this process, on one thread as everywhere."""
    with one_thread():
        for kind in kinds:
            name = kind.info.name
            yield attack_target(kind, target, settings, shares[name], scratch, partial(progress, name))


def attack_target(
    kind: type[Attack],
    target: Target,
    settings: Settings,
    seconds: float | None,
    scratch: Path,
    progress: Callable[[float], None],
) -> Row:
    """Take what the attack needs from the target and run it; a row that is skipped if the target has no such part."""
    try:
        subject = target.subject(kind.info.needs, settings, scratch)
    except NotApplicable as reason:
        return Row(kind.info, Verdict.INCONCLUSIVE, 0.0, skipped=str(reason))
    except NeuralCipherError as error:  # a bundle that is damaged where the description did not look
        return Row(kind.info, Verdict.ERROR, 0.0, error=error.message)
    return run_attack(kind, subject, settings, seconds=seconds, progress=progress)


def _shares(infos: Sequence[Info], settings: Settings, jobs: int) -> dict[str, float | None]:
    """Seconds of each attack, None without a budget: the whole, spread over the processes, by weight."""
    if settings.budget_s is None:
        return {info.name: None for info in infos}
    total = sum(info.weight for info in infos) or 1.0
    return {info.name: settings.budget_s * min(jobs, len(infos)) * info.weight / total for info in infos}


def _versions() -> dict[str, str]:
    names = ("neuralcipher", "torch", "numpy", "scipy", "cryptography")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}

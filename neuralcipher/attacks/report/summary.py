"""A finished run in a few columns: for a page about something else, and for notebooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.judge import verdict_text
from neuralcipher.attacks.report.markup import items, table
from neuralcipher.attacks.report.record import SCHEMA, Finished, record
from neuralcipher.attacks.report.svg import number
from neuralcipher.errors import ReportFileError, UsageError
from neuralcipher.files import check_input

_MOST_BYTES = 64 << 20
_HINT = "pass what ncipher attack --json FILE has written"

COLUMNS = ("attack", "verdict", "value", "p", "note")


@dataclass(frozen=True, slots=True)
class SummaryRow:
    """One attack. known: a break by design. value: with its unit and interval. p_value: after Holm, or None."""

    name: str
    title: str
    verdict: Verdict
    known: bool
    value: str
    p_value: float | None
    note: str

    @property
    def verdict_text(self) -> str:
        """The verdict as reports show it."""
        return verdict_text(self.verdict, self.known)


@dataclass(frozen=True, slots=True)
class Summary:
    """A run. target: its name. bundle_sha256: of the file that was attacked, "" for a generator.

    assume_opened: whether the attacks looked behind the outer encryption. skipped: name and reason.
    """

    target: str
    bundle_sha256: str
    assume_opened: bool
    verdict: Verdict
    partial: bool
    depth: str
    seed: int
    started: str
    rows: tuple[SummaryRow, ...]
    skipped: tuple[tuple[str, str], ...]


def summarised(report: Finished) -> Summary:
    """The summary of a run."""
    return _summary(record(report))


def read_summary(path: Path) -> Summary:
    """The summary of a run that was written as JSON. Raises UsageError, and ReportFileError for anything else."""
    check_input(path, "attack report", empty=ReportFileError)
    with path.open("rb") as file:
        text = file.read(_MOST_BYTES + 1)
    damaged = ReportFileError(f"{path} is not a report of ncipher attack", hint=_HINT)
    if len(text) > _MOST_BYTES:
        raise damaged
    try:
        data = json.loads(text)
        if not isinstance(data, dict) or data.get("schema") != SCHEMA:
            raise damaged
        return _summary(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # whatever else the file may be
        raise damaged from None


def check_about(found: Summary, path: Path, bundle: str, sha256: str) -> None:
    """Raise UsageError if a report is about another file than the bundle. sha256: of the bundle, hexadecimal."""
    if found.bundle_sha256 != sha256:
        other = f"another state of {bundle}" if found.target == bundle and found.bundle_sha256 else found.target
        raise UsageError(f"{path} is about {other}, not about {bundle} as it is", hint="attack the bundle again")


def _summary(data: Mapping[str, Any]) -> Summary:
    target, settings = data["target"], data["settings"]
    return Summary(
        target=str(target["name"]),
        bundle_sha256=str(target.get("bundle_sha256", "")),
        assume_opened=target.get("assume_opened") is True,
        verdict=Verdict(data["verdict"]),
        partial=data["partial"] is True,
        depth=str(settings["depth"]),
        seed=int(data["seed"]),
        started=str(data["started"]),
        rows=tuple(_row(row) for row in data["attacks"]),
        skipped=tuple((str(row["name"]), str(row["reason"])) for row in data["skipped"]),
    )


def _row(row: Mapping[str, Any]) -> SummaryRow:
    p_value = row["p_adjusted"]
    return SummaryRow(
        name=str(row["name"]),
        title=str(row["title"]),
        verdict=Verdict(row["verdict"]),
        known=row["known"] is True,
        value=_value(row),
        p_value=None if p_value is None else float(p_value),
        note=str(row["error"] or row["note"]),
    )


def _value(row: Mapping[str, Any]) -> str:
    if row["value"] is None:
        return ""
    text = f"{number(float(row['value']))} {row['unit']}".strip()
    if row["interval"] is None or None in row["interval"]:
        return text
    low, high = row["interval"]
    return f"{text} ({number(float(low))} to {number(float(high))})"


def summary_table(found: Summary, *, kind: str = "") -> str:
    """The rows as an HTML table, and what was skipped as a list."""
    rows = [
        (row.name, row.verdict_text, row.value, "" if row.p_value is None else number(row.p_value), row.note)
        for row in found.rows
    ]
    skipped = [f"{name}: not run, {reason}" for name, reason in found.skipped]
    return table(COLUMNS, rows, kind=kind) + (items(skipped) if skipped else "")


def summary_fragment(found: Summary) -> str:
    """The headline, the table, and what it does not show, as HTML without a style, for a notebook."""
    partial = ", stopped before its end" if found.partial else ""
    title = f"Attacks on {found.target}: {found.verdict.value} ({found.depth}, seed {found.seed}{partial})"
    return (
        f"<p><strong>{escape(title)}</strong></p>{summary_table(found)}"
        "<p>An attack that fails shows what this budget did not reach, never that a target is secure.</p>"
    )

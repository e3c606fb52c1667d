"""Finished rows of a run on disk, so that an interrupted run goes on where it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuralcipher.attacks.base import Info, Measurement, Verdict
from neuralcipher.attacks.judge import Row
from neuralcipher.attacks.report.record import figure_from_dict, figure_to_dict
from neuralcipher.attacks.session import Settings
from neuralcipher.errors import UsageError

_HINT = "name another folder"
_VERSION = 1


class Journal:
    """A folder with one file of JSON lines for each target and settings; no secret is in it.

    Raises UsageError if the folder cannot be made or written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{folder} cannot hold a run: {(error.strerror or 'error').lower()}", hint=_HINT) from None
        if not os.access(folder, os.W_OK):
            raise UsageError(f"{folder} cannot be written", hint=_HINT)

    def open(self, target: Mapping[str, Any], settings: Settings) -> JournalFile:
        """The file of this very target and settings."""
        stated = {"version": _VERSION, "target": dict(target), "settings": dataclasses.asdict(settings)}
        text = json.dumps(stated, sort_keys=True)
        return JournalFile(self._folder / f"attack-{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl")


@dataclass(frozen=True, slots=True)
class JournalFile:
    """Rows as lines of JSON, each on the disk before the next is begun."""

    path: Path

    def rows(self, infos: Sequence[Info]) -> dict[str, Row]:
        """The rows of an earlier run by name; a torn last line is left out.

        Rows that ended in ERROR are not given back, so that they run again.
        """
        known = {info.name: info for info in infos}
        rows = {}
        lines = self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []
        for line in lines:
            try:
                fields = json.loads(line)
                row = _row_from_dict(fields, known[fields["attack"]])
            except (ValueError, KeyError, TypeError):
                continue
            if row.verdict is not Verdict.ERROR:
                rows[row.info.name] = row
        return rows

    def add(self, row: Row) -> None:
        """Keep a finished row, on the disk before this returns."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_row_to_dict(row)) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _row_to_dict(row: Row) -> dict[str, Any]:
    parts = {name: getattr(row, name) for name in ("positive", "negative", "target")}
    return {
        "attack": row.info.name,
        "verdict": row.verdict.value,
        "seconds": row.seconds,
        "error": row.error,
        "skipped": row.skipped,
        **{name: None if part is None else _measurement_to_dict(part) for name, part in parts.items()},
    }


def _row_from_dict(fields: Mapping[str, Any], info: Info) -> Row:
    parts = {
        name: None if fields[name] is None else _measurement_from_dict(fields[name])
        for name in ("positive", "negative", "target")
    }
    return Row(
        info,
        Verdict(fields["verdict"]),
        fields["seconds"],
        parts["positive"],
        parts["negative"],
        parts["target"],
        error=fields["error"],
        skipped=fields["skipped"],
    )


def _measurement_to_dict(measurement: Measurement) -> dict[str, Any]:
    plain = {f.name: getattr(measurement, f.name) for f in dataclasses.fields(measurement)}
    return {**plain, "details": dict(measurement.details), "figures": [figure_to_dict(f) for f in measurement.figures]}


def _measurement_from_dict(fields: Mapping[str, Any]) -> Measurement:
    interval = fields["interval"]
    return Measurement(
        **{
            **fields,
            "interval": None if interval is None else (interval[0], interval[1]),
            "flags": tuple(fields["flags"]),
            "figures": tuple(figure_from_dict(f) for f in fields["figures"]),
        }
    )

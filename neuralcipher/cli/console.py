"""The rules of the terminal, in one place.

Results go to stdout, everything else to stderr. With --json, stdout is one JSON object and nothing else, errors
included. Progress is a live line on a terminal, one line every 10 s elsewhere, nothing with --quiet.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from neuralcipher.errors import NeuralCipherError

if TYPE_CHECKING:
    from neuralcipher.pipeline.options import Progress as Report
    from neuralcipher.pipeline.options import ProgressCallback

_LINE_EVERY_S = 10.0
_STAGES = {
    "reading": "reading the video",
    "generator": "training the generator",
    "fitting": "fitting",
    "checking": "checking the result",
    "writing": "writing",
}

stderr = Console(stderr=True, highlight=False)
stdout = Console(highlight=False)


def tell(sentence: str) -> None:
    """A message that is not a result."""
    stderr.print(f"ncipher: {escape(sentence)}", soft_wrap=True)


def warn(sentence: str) -> None:
    """Something that the user should know before relying on the result."""
    stderr.print(f"[yellow]ncipher: warning:[/] {escape(sentence)}", soft_wrap=True)


def print_error(error: NeuralCipherError, *, as_json: bool) -> None:
    """One sentence and a hint; with --json an object {error, hint, exit_code}."""
    if as_json:
        print_json({"error": error.message, "hint": error.hint, "exit_code": error.exit_code})
        return
    stderr.print(f"[red]ncipher: error:[/] {escape(error.message)}", soft_wrap=True)
    if error.hint:
        stderr.print(f"  hint: {escape(error.hint)}", soft_wrap=True)


def print_json(fields: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    sys.stdout.write(json.dumps(fields, ensure_ascii=True) + "\n")
    sys.stdout.flush()


def size_text(size_bytes: float) -> str:
    """A size as people read it, in units of 1000."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size_bytes < 1000 or unit == "GB":
            return f"{size_bytes:.0f} {unit}" if unit == "bytes" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return ""


def _details(report: Report) -> str:
    if report.stage != "fitting" or not report.size_bytes:
        return ""
    return f"step {report.step}  {report.psnr_db:.2f} dB  about {size_text(report.size_bytes)}"


@contextmanager
def progress_line(*, quiet: bool) -> Iterator[ProgressCallback]:
    """A callback that shows how the work goes on."""
    if quiet:
        yield lambda report: None
    elif stderr.is_terminal:
        with _live_line() as callback:
            yield callback
    else:
        yield _plain_lines()


@contextmanager
def _live_line() -> Iterator[ProgressCallback]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[details]}"),
    )
    with Progress(*columns, console=stderr, transient=True) as line:
        task = line.add_task("starting", total=1.0, details="")
        stage = ""

        def show(report: Report) -> None:
            nonlocal stage
            if report.stage != stage:
                stage = report.stage
                line.reset(task, description=_STAGES.get(stage, stage), details="")
            line.update(task, completed=report.fraction, details=_details(report))

        yield show


def _plain_lines() -> ProgressCallback:
    last = time.monotonic()

    def show(report: Report) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            stage = _STAGES.get(report.stage, report.stage)
            tell(f"{stage}: {report.fraction:.0%}  {_details(report)}".rstrip())

    return show

"""The rules of the terminal, in one place.

Results go to stdout, everything else to stderr. With --json, stdout is one JSON object and nothing else, errors
included. Progress is a live line on a terminal, one line every 10 s elsewhere, nothing with --quiet.

Tables fit the width of the terminal, 80 columns where there is none: what is too long goes on in the next line and
is never cut. Colours are those that can be read on light and dark grounds (red, magenta, grey), and say nothing that
the words do not. With NO_COLOR, with TERM=dumb and into a pipe there is no escape sequence at all.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from neuralcipher.errors import NeuralCipherError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, ProgressColumn

    from neuralcipher.pipeline.options import Progress as Report
    from neuralcipher.pipeline.options import ProgressCallback

_LINE_EVERY_S = 10.0
_NARROWEST = 40
_BAR_WIDTH = 10
_STYLES = {
    "bar.back": "bright_black",
    "bar.complete": "magenta",
    "bar.finished": "magenta",
    "progress.remaining": "none",
}
"""Of rich, in place of cyan, yellow and near-black, which some grounds hide."""
_STAGES = {
    "reading": "reading the video",
    "generator": "training the generator",
    "fitting": "fitting",
    "checking": "checking the result",
    "writing": "writing",
}


@lru_cache(maxsize=1)
def messages() -> Console:
    """The console behind stderr; rich is imported when the first message is shown, so that --help need not wait."""
    return _console(stderr=True)


def tables() -> Console:
    """A console behind stdout, for tables."""
    return _console(stderr=False)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console
    from rich.theme import Theme

    # rich leaves out colours alone for NO_COLOR, and writes bold all the same.
    more: dict[str, Any] = {"color_system": None} if _is_plain() else {}
    return Console(stderr=stderr, highlight=False, theme=Theme(_STYLES), **more)


def _is_plain() -> bool:
    """Whether the user wants no escape sequences. Source: no-color.org."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")


def _is_live() -> bool:
    """Whether a line may be drawn over and over."""
    return messages().is_terminal and not _is_plain()


def columns() -> int:
    """How wide the terminal is, by COLUMNS or by itself; 80 where there is none."""
    return max(_NARROWEST, shutil.get_terminal_size((80, 24)).columns)


def result_lines(text: str, indent: str = "  ") -> None:
    """A line of the result that goes on, indented, where it is wider than the terminal; words stay whole."""
    lines = textwrap.wrap(text, columns(), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    for line in lines or [""]:
        result(line)


def _show(style: str, label: str, text: str) -> None:
    from rich.text import Text

    messages().print(Text.assemble((label, style), text), soft_wrap=True)


def result(line: str) -> None:
    """One line of the result on stdout."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def visible(text: str) -> str:
    """Text of a bundle without what steers a terminal: whoever made it chose the names in it."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def tell(sentence: str) -> None:
    """A message that is not a result."""
    _show("", "ncipher: ", sentence)


def warn(sentence: str) -> None:
    """Something that the user should know before relying on the result."""
    _show("bold magenta", "ncipher: warning: ", sentence)


def print_error(error: NeuralCipherError, *, as_json: bool) -> None:
    """One sentence and a hint; with --json an object {error, hint, exit_code}."""
    if as_json:
        print_json({"error": error.message, "hint": error.hint, "exit_code": error.exit_code})
        return
    _show("bold red", "ncipher: error: ", error.message)
    if error.hint:
        _show("", "  hint: ", error.hint)


def print_json(fields: Mapping[str, Any]) -> None:
    """One JSON object on stdout."""
    result(json.dumps(fields, ensure_ascii=True))


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
    several = report.segments > 1  # both would not fit into 80 columns
    where = f"segment {report.finished + 1} of {report.segments}" if several else f"step {report.step}"
    return f"{where}  {report.psnr_db:.2f} dB  about {size_text(report.size_bytes)}"


@contextmanager
def progress_line(*, quiet: bool) -> Iterator[ProgressCallback]:
    """A callback that shows how the work goes on."""
    if quiet:
        yield lambda report: None
    elif _is_live():
        with _live_line() as callback:
            yield callback
    else:
        yield _plain_lines()


@contextmanager
def _live_line() -> Iterator[ProgressCallback]:
    from rich.progress import TextColumn

    described, details = TextColumn("{task.description}"), TextColumn("{task.fields[details]}")
    with _live(described, *_bar(), details) as line:
        task = line.add_task("starting", total=1.0, details="")
        stage = ""

        def show(report: Report) -> None:
            nonlocal stage
            if report.stage != stage:
                stage = report.stage
                line.reset(task, description=_STAGES.get(stage, stage), details="")
            line.update(task, completed=report.fraction, details=_details(report))

        yield show


def _bar() -> tuple[ProgressColumn, ...]:
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn

    return BarColumn(bar_width=_BAR_WIDTH), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn()


def _live(*parts: ProgressColumn) -> Progress:
    from rich.progress import Progress

    return Progress(*parts, console=messages(), transient=True)


@contextmanager
def attack_progress(*, quiet: bool) -> Iterator[Callable[[str, float], None]]:
    """A callback (attack, fraction of the run) that shows how a suite of attacks goes on, with the time left."""
    if quiet:
        yield lambda name, fraction: None
    elif _is_live():
        from rich.progress import TextColumn

        with _live(*_bar(), TextColumn("{task.description}")) as line:
            task = line.add_task("starting", total=1.0)
            yield lambda name, fraction: line.update(task, completed=fraction, description=name)
    else:
        yield _plain_attack_lines()


def _plain_attack_lines() -> Callable[[str, float], None]:
    started = last = time.monotonic()

    def show(name: str, fraction: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _LINE_EVERY_S and fraction > 0:
            last = now
            tell(f"{fraction:.0%}, about {(now - started) * (1 - fraction) / fraction:.0f} s left: {name}")

    return show


def _plain_lines() -> ProgressCallback:
    last = time.monotonic()

    def show(report: Report) -> None:
        nonlocal last
        if time.monotonic() - last >= _LINE_EVERY_S:
            last = time.monotonic()
            stage = _STAGES.get(report.stage, report.stage)
            tell(f"{stage}: {report.fraction:.0%}  {_details(report)}".rstrip())

    return show

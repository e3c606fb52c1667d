"""`ncipher seal` of several videos into a folder: one after the other, going on after one that cannot be sealed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from neuralcipher.cli.console import print_error, print_json, size_text, tables, tell, visible
from neuralcipher.errors import EXIT_FAILED, CancelledError, NeuralCipherError, OutOfMemoryError, UsageError, WriteError
from neuralcipher.files import check_input, check_output

if TYPE_CHECKING:
    from neuralcipher.pipeline.options import SealReport

SealOne = Callable[[Path, Path], "SealReport"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one video: a report, an error, or neither if its bundle was there and is left alone."""

    video: Path
    bundle: Path
    report: SealReport | None = None
    error: NeuralCipherError | None = None


def bundle_for(video: Path) -> Path:
    """Where a video is sealed to by default."""
    # `.` and `..` have no name of their own to take over.
    return (video if video.name not in ("", "..") else video.resolve()).with_suffix(".ncv")


def check(
    videos: Sequence[Path], output: Path | None, folder: Path | None, *, skip_existing: bool, force: bool
) -> None:
    """Refuse options that do not go together. Raises UsageError."""
    if folder is None:
        if len(videos) > 1:
            raise UsageError(
                f"{len(videos)} videos cannot be sealed into one bundle",
                hint="pass --output-dir to seal each into its own",
            )
        if skip_existing:
            raise UsageError("--skip-existing goes with --output-dir", hint="leave it out")
        return
    if output is not None:
        raise UsageError("--output and --output-dir cannot be given together", hint="choose one of them")
    if skip_existing and force:
        raise UsageError("--skip-existing and --force contradict each other", hint="choose one of them")
    _pairs(videos, folder)


def _pairs(videos: Sequence[Path], folder: Path) -> list[tuple[Path, Path]]:
    """Each video once, and its bundle. Raises UsageError if two would become one."""
    taken: dict[Path, Path] = {}
    for video in videos:
        bundle = folder / bundle_for(video).name
        other = taken.setdefault(bundle, video)
        if other is not video and other.resolve() != video.resolve():
            raise UsageError(
                f"{other} and {video} would both become {bundle}", hint="rename one, or seal them into two folders"
            )
    return [(video, bundle) for bundle, video in taken.items()]


def seal_all(
    videos: Sequence[Path],
    folder: Path,
    seal_one: SealOne,
    *,
    force: bool,
    skip_existing: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Seal every video into a folder, and say at the end what became of each.

    A video that cannot be sealed is no end; a disk that cannot be written to is. ^C stops at once, and keeps what is
    finished. Raises typer.Exit with code 1 if any failed.
    """
    say: Callable[[str], None] = (lambda sentence: None) if quiet else tell
    pairs = _pairs(videos, folder)
    if len(pairs) < len(videos):
        say("a video that is given more than once is sealed once")
    outcomes: list[Outcome] = []
    with _folder(folder):
        try:
            for number, (video, bundle) in enumerate(pairs, start=1):
                say(f"{number} of {len(pairs)}: {visible(str(video))}")
                outcome = _attempt(video, bundle, videos, seal_one, force=force, skip_existing=skip_existing)
                outcomes.append(outcome)
                _report(outcome, as_json=as_json, quiet=quiet)
                if isinstance(outcome.error, WriteError):
                    break
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(_interrupted(outcomes, len(pairs), stop)) from stop
    for video, bundle in pairs[len(outcomes) :]:
        outcomes.append(Outcome(video, bundle, error=_not_begun(outcomes[-1])))
        _report(outcomes[-1], as_json=as_json, quiet=True)
    if not as_json:
        print_table(outcomes)
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    if failed:
        names = ", ".join(str(outcome.video) for outcome in failed)
        sentence = f"{len(failed)} of {len(pairs)} videos could not be sealed: {names}"
        print_error(NeuralCipherError(sentence, hint=_again(outcomes)), as_json=False)
        raise typer.Exit(EXIT_FAILED)


def _attempt(
    video: Path, bundle: Path, videos: Sequence[Path], seal_one: SealOne, *, force: bool, skip_existing: bool
) -> Outcome:
    try:
        if skip_existing and bundle.is_file():
            return Outcome(video, bundle)
        if not video.is_dir():
            check_input(video, "video")
        check_output(bundle, force=force, inputs=videos)
        return Outcome(video, bundle, report=seal_one(video, bundle))
    except CancelledError:
        raise
    except NeuralCipherError as error:
        return Outcome(video, bundle, error=error)
    except MemoryError:
        return Outcome(video, bundle, error=OutOfMemoryError())
    except OSError as trouble:  # of a disk that fails while it is read
        if isinstance(trouble, BrokenPipeError):
            raise
        reason = (trouble.strerror or type(trouble).__name__).lower()
        return Outcome(
            video, bundle, error=NeuralCipherError(f"{video} cannot be read: {reason}", hint="check the disk")
        )


def _interrupted(outcomes: Sequence[Outcome], count: int, stop: KeyboardInterrupt) -> str:
    done = sum(outcome.report is not None for outcome in outcomes)
    left = stop.args[0] if stop.args else "nothing unfinished was left behind"
    return f"{done} of {count} videos are sealed and stay; {left}"


def _not_begun(last: Outcome) -> NeuralCipherError:
    hint = "" if last.error is None else last.error.hint
    return NeuralCipherError("not begun, since nothing can be written any more", hint=hint)


def _again(outcomes: Sequence[Outcome]) -> str:
    sealed = any(outcome.report is not None for outcome in outcomes)
    return "the same command with --skip-existing seals what is missing" if sealed else ""


def _report(outcome: Outcome, *, as_json: bool, quiet: bool) -> None:
    """What became of one video, as soon as it is known."""
    if as_json:
        print_json({"file": str(outcome.video), **_fields(outcome)})
    elif outcome.error is not None and not quiet:
        print_error(outcome.error, as_json=False)


def _fields(outcome: Outcome) -> dict[str, object]:
    if outcome.error is not None:
        error = outcome.error
        return {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
    if outcome.report is None:
        return {"bundle": str(outcome.bundle), "skipped": True}
    return dataclasses.asdict(outcome.report)


def print_table(outcomes: Sequence[Outcome]) -> None:
    """What became of every video, on stdout."""
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for name in ("video", "bundle"):
        table.add_column(name, overflow="fold")  # a path is never cut
    for name in ("size", "frames", "PSNR", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for outcome in outcomes:
        names = Text(visible(str(outcome.video))), Text(visible(str(outcome.bundle)))
        report = outcome.report
        if outcome.error is not None:
            table.add_row(names[0], Text(f"failed: {visible(outcome.error.message)}", style="red"))
        elif report is None:
            table.add_row(names[0], Text(f"{names[1]}, there already"))
        else:
            figures = size_text(report.size_bytes), str(report.frames), f"{report.psnr_db:.2f} dB"
            table.add_row(*names, *figures, f"{report.seconds:.0f} s")
    tables().print(table)


@contextmanager
def _folder(folder: Path) -> Iterator[None]:
    """The folder, made if need be; what was made for nothing is gone in the end."""
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise UsageError(f"{folder} is no folder", hint="choose another with --output-dir") from None
    except OSError as error:
        reason = (error.strerror or "error").lower()
        raise UsageError(f"the folder {folder} cannot be made: {reason}", hint="choose another one") from None
    try:
        yield
    finally:
        for path in missing:
            with contextlib.suppress(OSError):
                path.rmdir()

"""`ncipher open`."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from neuralcipher import forking
from neuralcipher.cli import completion
from neuralcipher.cli.console import print_json, progress_line, result
from neuralcipher.cli.credentials import (
    KeyOption,
    PassphraseFileOption,
    PassphraseOption,
    credentials,
    takes_passphrase,
)
from neuralcipher.errors import UsageError
from neuralcipher.process import prepare

_STAGES = 3  # threads that frames go through: integers, prediction, repair


def open_(
    bundle: Annotated[Path, typer.Argument(help="The bundle, such as video.ncv.", autocompletion=completion.bundles)],
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="A .mp4, .mkv or .y4m file, a folder/ for PNG, or - for y4m on stdout."),
    ] = None,
    frames: Annotated[
        str | None, typer.Option("--frames", metavar="A:B", help="Only frames A to B-1, counted from 0.")
    ] = None,
    span: Annotated[
        str | None, typer.Option("--time", metavar="FROM-TO", help="Only what is shown then: 00:01:10-00:01:20.")
    ] = None,
    segment: Annotated[int | None, typer.Option(help="Only this segment, counted from 0.")] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Open a bare bundle too, which anyone may have made or changed.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the output.")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.", autocompletion=completion.devices)] = "auto",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Open a bundle with its key: the video comes back, with its sound and timestamps.

    Example: ncipher open video.ncv --key k.bin

    Example: ncipher open video.ncv --key k.bin --time 00:01:10-00:01:20 -o part.mp4
    """
    if sum(choice is not None for choice in (frames, span, segment)) > 1:
        raise UsageError("--frames, --time and --segment cannot be given together", hint="choose one of them")
    from neuralcipher.files import check_output

    asked = takes_passphrase(bundle)
    check_suite(bundle, bare)
    if output is not None and output != "-" and not output.endswith(os.sep):
        check_output(Path(output), force=force, inputs=[bundle], folder=Path(output).is_dir())
    keys = credentials(key, passphrase, passphrase_file, ask=asked)
    prepare(threads=max(1, forking.cores() // _STAGES))
    from neuralcipher.pipeline import parts
    from neuralcipher.pipeline.opening import open_bundle, open_stream

    part: parts.Part = parts.whole
    if frames is not None:
        part = parts.frames_part(frames)
    elif span is not None:
        part = parts.time_part(span)
    elif segment is not None:
        part = parts.segment_part(segment)
    with progress_line(quiet=quiet or as_json) as progress:
        if output == "-":
            open_stream(bundle, sys.stdout.buffer, keys=keys, part=part, device=device, progress=progress)
            return
        report = open_bundle(bundle, output, keys=keys, part=part, device=device, force=force, progress=progress)
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        result(f"{report.output}: {report.frames} frames in {report.seconds:.1f} s")


def check_suite(path: Path, bare: bool) -> bool:
    """Refuse a bare bundle that was not asked for: somebody may have put it in the place of a sealed one.

    Returns whether it is bare.
    """
    from neuralcipher.container import SUITE_BARE, BundleReader

    with BundleReader.open(path) as reader:
        if reader.suite == SUITE_BARE and not bare:
            raise UsageError(
                f"{path.name} is a bare bundle, which anyone may have made or changed",
                hint="pass --bare to open it all the same",
            )
        return reader.suite == SUITE_BARE

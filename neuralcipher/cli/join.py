"""`ncipher join`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.console import print_json, progress_line, result, size_text, tell, warn
from neuralcipher.cli.credentials import (
    KeyOption,
    PassphraseFileOption,
    PassphraseOption,
    credentials,
    takes_passphrase,
)
from neuralcipher.process import prepare

if TYPE_CHECKING:
    from neuralcipher.pipeline.splicing import SpliceReport


def join(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            help="Two bundles or more, in the order in which they are shown.", autocompletion=completion.bundles
        ),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="The new bundle.")],
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    no_sound: Annotated[bool, typer.Option("--no-sound", help="Join the pictures alone.")] = False,
    allow_overlap: Annotated[
        bool,
        typer.Option(
            "--allow-overlap", help="Join parts of one video too that repeat frames, or are not in its order."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write bundles of equal pictures and sound, one after the other, into a new one, without training.

    The keys given here must open them all. The new bundle has a bundle key of its own and opens with each of these
    keys, and with no other.

    Example: ncipher join a.ncv b.ncv --key k.bin -o whole.ncv
    """
    keys = credentials(key, passphrase, passphrase_file, ask=any(map(takes_passphrase, bundles)))
    prepare()
    from neuralcipher.pipeline.splicing import join as run

    with progress_line(quiet=quiet or as_json) as progress:
        report = run(
            bundles,
            output,
            keys=keys,
            sound=not no_sound,
            allow_overlap=allow_overlap,
            force=force,
            progress=progress,
        )
    show(report, quiet=quiet, as_json=as_json)


def show(report: SpliceReport, *, quiet: bool, as_json: bool) -> None:
    """What was cut or joined."""
    if not quiet and report.left_out_packets:
        tell(f"{report.left_out_packets} packets of sound that would overlap at a seam are left out")
    if not quiet and report.dropped_slots:
        warn(f"other keys of the bundles do not open {report.bundle}: pass them too, or add them with rekey")
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        result(
            f"{report.bundle}: {report.frames} frames in {report.segments} segments, {report.duration_s:.3f} s, "
            f"{size_text(report.size_bytes)}"
        )

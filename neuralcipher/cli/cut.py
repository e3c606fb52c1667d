"""`ncipher cut`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.console import progress_line
from neuralcipher.cli.credentials import (
    KeyOption,
    PassphraseFileOption,
    PassphraseOption,
    credentials,
    takes_passphrase,
)
from neuralcipher.cli.join import show
from neuralcipher.process import prepare


def cut(
    bundle: Annotated[Path, typer.Argument(help="The bundle; it stays as it is.", autocompletion=completion.bundles)],
    segments: Annotated[
        str, typer.Option(metavar="FROM-TO", help="Which, both included and counted from 0: 3-7, 3, or 3- to the end.")
    ],
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The new bundle; default: BUNDLE.FROM-TO.ncv")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no messages.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write some segments of a bundle, with their sound, into a new one, without training.

    The new bundle has a bundle key of its own and opens with the keys given here, and with no other.

    Example: ncipher cut video.ncv --key k.bin --segments 3-7 -o part.ncv
    """
    keys = credentials(key, passphrase, passphrase_file, ask=takes_passphrase(bundle))
    prepare()
    from neuralcipher.pipeline.splicing import cut as run

    with progress_line(quiet=quiet or as_json) as progress:
        report = run(bundle, output, keys=keys, segments=segments, force=force, progress=progress)
    show(report, quiet=quiet, as_json=as_json)

"""`ncipher verify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.console import print_json, result, visible
from neuralcipher.cli.credentials import (
    KeyOption,
    PassphraseFileOption,
    PassphraseOption,
    credentials,
    takes_passphrase,
)
from neuralcipher.errors import EXIT_DAMAGED
from neuralcipher.process import prepare


def verify(
    bundle: Annotated[Path, typer.Argument(help="The bundle.", autocompletion=completion.bundles)],
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check every chunk and every section, and say what is damaged.

    Example: ncipher verify video.ncv --key k.bin
    """
    keys = credentials(key, passphrase, passphrase_file, ask=takes_passphrase(bundle))
    prepare()
    from neuralcipher.pipeline.upkeep import verify as run

    problems = run(bundle, keys=keys)
    if as_json:
        found = [{"message": p.message, "chunk": p.chunk, "offset": p.offset} for p in problems]
        print_json({"bundle": str(bundle), "whole": not problems, "problems": found})
    else:
        for problem in problems:
            hit = visible(", ".join(f"{kind} {segment}" for kind, segment in problem.sections))
            result(problem.message + (f" (hits {hit})" if hit else ""))
        result(f"{bundle.name}: {len(problems)} problems" if problems else f"{bundle.name}: whole")
    if problems:
        raise typer.Exit(EXIT_DAMAGED)

"""`ncipher extract-audio`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.console import print_json, result, size_text
from neuralcipher.cli.credentials import (
    KeyOption,
    PassphraseFileOption,
    PassphraseOption,
    credentials,
    takes_passphrase,
)
from neuralcipher.cli.open import check_suite


def extract_audio(
    bundle: Annotated[Path, typer.Argument(help="The bundle, such as video.ncv.", autocompletion=completion.bundles)],
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A .m4a, .mka, .aac, .mp3, .ogg, .opus, .flac, .ac3, .mp2 or .wav file; "
            "default: BUNDLE with what is usual for the codec.",
        ),
    ] = None,
    bare: Annotated[
        bool, typer.Option("--bare", help="Take a bare bundle too, which anyone may have made or changed.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the output.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write the sound of a bundle into a file of its own, as it was sealed: it is not coded again.

    Only the sound is decrypted. A bundle without sound ends with exit code 1.

    Example: ncipher extract-audio video.ncv --key k.bin -o sound.m4a
    """
    asked = takes_passphrase(bundle)
    is_bare = check_suite(bundle, bare)
    keys = [] if is_bare else credentials(key, passphrase, passphrase_file, ask=asked)
    from neuralcipher.pipeline.extracting import extract_audio as run

    report = run(bundle, output, keys=keys, force=force)
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        result(
            f"{report.output}: {report.codec}, {report.layout}, {report.sample_rate} Hz, "
            f"{report.packets} packets, {size_text(report.size_bytes)}"
        )

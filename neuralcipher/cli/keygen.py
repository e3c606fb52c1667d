"""`ncipher keygen`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcipher.cli.console import print_json, tell


def keygen(
    output: Annotated[Path, typer.Argument(help="Where to write the key file.")],
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the file.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Draw a new key: 32 bytes from the operating system, readable only by you.

    Example: ncipher keygen k.bin
    """
    from neuralcipher.keys import Key

    Key.generate().write(output, force=force)
    if as_json:
        print_json({"key": str(output)})
    else:
        tell(f"wrote {output}: keep a copy, nothing opens a bundle without it")

"""`ncipher player`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.console import print_json, result, size_text, warn

_LARGE_BYTES = 200_000_000


def player(
    bundle: Annotated[
        Path | None,
        typer.Argument(help="The bundle; without one, the page asks for a file.", autocompletion=completion.bundles),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The page; default: BUNDLE.html, or player.html.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", "-f", help="Overwrite the page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a page that opens a bundle in a browser, with its key, and plays it.

    Example: ncipher player video.ncv -o player.html
    """
    from neuralcipher.files import check_output, output_file

    default = Path("player.html") if bundle is None else bundle.with_suffix(".html")
    target = default if output is None else output
    check_output(target, force=force, inputs=[] if bundle is None else [bundle])
    page = page_of(bundle)
    with output_file(target, force=force) as file:
        file.write(page)
    if as_json:
        print_json({"page": str(target), "size_bytes": len(page)})
    else:
        result(f"{target}: {size_text(len(page))}, opens in a browser with the key")


def page_of(bundle: Path | None) -> bytes:
    """The page with a bundle in it, whose public header is checked. Raises as `BundleReader.open` does."""
    from neuralcipher.container import BundleReader
    from neuralcipher.player.page import player_page

    if bundle is None:
        return player_page(None, "ncipher player").encode("utf-8")
    with BundleReader.open(bundle) as reader:
        if reader.size_bytes > _LARGE_BYTES:
            warn(f"a browser holds all {size_text(reader.size_bytes)} of {reader.name} in memory, and may refuse to")
        data = reader.source.read(0, reader.size_bytes)
        return player_page(data, reader.name).encode("utf-8")

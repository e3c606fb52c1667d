"""`ncipher view`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.console import print_json, result, tell
from neuralcipher.cli.player import page_of


def view(
    bundle: Annotated[Path, typer.Argument(help="The bundle, such as video.ncv.", autocompletion=completion.bundles)],
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the address as one JSON object.")] = False,
) -> None:
    """Play a bundle in the browser, from a server on this machine that ends with ^C.

    Example: ncipher view video.ncv
    """
    page = page_of(bundle)
    from neuralcipher.player.server import page_server

    with page_server(page) as server:
        if as_json:
            print_json({"url": server.url})
        else:
            result(server.url)
        if browser:
            import webbrowser

            if not webbrowser.open(server.url):
                tell("no browser was found: open the address above in one")
        tell("the page is served until ^C")
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            tell("stopped")

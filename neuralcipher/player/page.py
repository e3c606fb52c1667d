"""Puts the player's page together: its modules in one script, bundle and codec as base64, and a strict policy."""

from __future__ import annotations

import base64
import html
import json
import re
from functools import lru_cache
from hashlib import sha256
from importlib.resources import files
from string import Template

_ASSETS = files("neuralcipher").joinpath("player/assets")
_DATA = files("neuralcipher").joinpath("data")
_FIRST = "page.mjs"
_IMPORT = re.compile(r'^import \{([^}]*)\} from "\./([a-z]+\.mjs)";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:const|function\*?|class) )", re.MULTILINE)
_NAME = re.compile(r"^export (?:async )?(?:const|function\*?|class) (\w+)", re.MULTILINE)
_EXPORTS = re.compile(r"^export \{([^}]*)\};?\s*\Z", re.MULTILINE)


def player_page(bundle: bytes | None, name: str) -> str:
    """The page as HTML, with a bundle in it, or without one, so that it asks for a file.

    name: the bundle's, without its folder, as messages show it. The page holds no key.
    """
    import neuralcipher

    parts = {
        "codec": _base64(_ASSETS.joinpath("codec.wasm").read_bytes()),
        "prior": _base64(_DATA.joinpath("latent_prior.bin").read_bytes()),
        "network": _base64(_DATA.joinpath("latent_network.bin").read_bytes()),
    }
    style, program = _text("player.css"), player_script()
    held = ""
    if bundle is not None:
        held = f'<script type="text/plain" id="bundle" data-name="{html.escape(name)}">{_base64(bundle)}</script>\n'
    return Template(_text("player.html")).substitute(
        policy=policy(style, program),
        title=html.escape(name),
        style=style,
        program=program,
        parts=json.dumps(parts),
        bundle=held,
        version=html.escape(neuralcipher.__version__),
    )


def policy(style: str, program: str) -> str:
    """The content security policy: nothing but this script, this style, workers made from it, and WebAssembly."""
    rules = {
        "default-src": "'none'",
        "script-src": f"{_hash(program)} 'wasm-unsafe-eval'",
        "style-src": _hash(style),
        "worker-src": "blob:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


@lru_cache(maxsize=1)
def player_script() -> str:
    """All modules in one script: each a function of its own, called in the order in which they need each other."""
    written: dict[str, str] = {}
    _write(_FIRST, written)
    script = "\n".join(['"use strict";', *written.values(), f"{_variable(_FIRST)}.run();", ""])
    if "</script" in script.lower() or "<!--" in script:
        raise ValueError("the player's script would end its element early")
    return script


def _write(name: str, written: dict[str, str]) -> None:
    """Add a module, after those that it imports."""
    text = _text(name)
    for _, needed in _IMPORT.findall(text):
        if needed not in written:
            _write(needed, written)
    exported = _NAME.findall(text)
    listed = _EXPORTS.search(text)
    if listed:
        exported += [part.strip() for part in listed[1].split(",") if part.strip()]
    body = _EXPORTS.sub("", text)
    body = _IMPORT.sub(lambda match: f"const {{{match[1]}}} = {_variable(match[2])};", body)
    body = _EXPORT.sub("", body)
    written[name] = f"const {_variable(name)} = (() => {{\n{body.strip()}\nreturn {{ {', '.join(exported)} }};\n}})();"


def _variable(name: str) -> str:
    return "$" + name.removesuffix(".mjs")


def _text(name: str) -> str:
    return _ASSETS.joinpath(name).read_text(encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _hash(text: str) -> str:
    """As a policy names an inline script or style."""
    return f"'sha256-{_base64(sha256(text.encode('utf-8')).digest())}'"

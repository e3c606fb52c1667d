"""What pages have in common: one document without scripts, closed to the network by its own policy, and its parts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files


def document(title: str, body: str) -> str:
    """The page. body: HTML in which everything that others wrote is escaped; it uses no styles of its own."""
    style = (files("neuralcipher") / "data" / "attack-report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title>"
        f"<style>{style}</style></head>\n<body><main>\n{body}</main></body></html>\n"
    )


def pairs(facts: Mapping[str, str]) -> str:
    """Names and values; what has no value is left out."""
    found = (f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in facts.items() if value)
    return f"<dl>{''.join(found)}</dl>"


def items(texts: Iterable[str]) -> str:
    """A list."""
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def scrolled(table: str, label: str) -> str:
    """A table that scrolls by itself where it is wider than the screen."""
    return f'<div class="scroll" role="region" aria-label="{escape(label)}" tabindex="0">{table}</div>'


def table(heads: Iterable[str], rows: Iterable[Iterable[str]], *, kind: str = "") -> str:
    """Texts as a table. kind: a class of the page, or ""."""
    head = "".join(f'<th scope="col">{escape(text)}</th>' for text in heads)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    chosen = f' class="{escape(kind)}"' if kind else ""
    return f"<table{chosen}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"

"""A bundle as a line of text and as HTML, for prompts and notebooks. Light, and nothing secret is in either."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from neuralcipher.errors import NeuralCipherError

if TYPE_CHECKING:
    from neuralcipher.container.directory import Section
    from neuralcipher.container.reading import BundleReader

_MOST_SECTIONS = 100


def line(reader: BundleReader) -> str:
    """One line: what anyone can see, and whether it is unlocked."""
    slots = ", ".join(slot.kind for slot in reader.slots) or "none"
    kind, state = type(reader).__name__, "open" if reader.is_readable else "locked"
    return f"<{kind} {reader.name!r}: {reader.suite}, {state}, {reader.size_bytes} bytes, slots: {slots}>"


def table(reader: BundleReader) -> str:
    """An HTML table of the same, and of the sections once they can be read."""
    facts = [
        ("bundle", reader.name),
        ("version", str(reader.version)),
        ("suite", reader.suite + (f", {reader.aead}" if reader.aead else "")),
        ("slots", ", ".join(slot.kind for slot in reader.slots) or "none"),
        ("size", f"{reader.size_bytes:,} bytes"),
        ("state", "open" if reader.is_readable else "locked"),
    ]
    rows = "".join(f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts)
    return f"<table><tbody>{rows}</tbody></table>{_sections(reader)}"


def _sections(reader: BundleReader) -> str:
    if not reader.is_readable:
        return ""
    try:
        sections = reader.sections
    except NeuralCipherError as error:
        return f"<p>{_text(error.message)}</p>"
    except ValueError:  # the file was closed before its directory was read
        return ""
    rows = "".join(map(_row, sections[:_MOST_SECTIONS]))
    heads = "<th>section</th><th>segment</th><th>bytes</th><th>name</th><th>frames</th>"
    left = len(sections) - _MOST_SECTIONS
    more = f"<p>{left:,} more sections are not listed.</p>" if left > 0 else ""
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>{more}"


def _row(section: Section) -> str:
    name, frames = section.attributes.get("name"), section.attributes.get("frames")
    cells = (
        section.kind,
        str(section.segment),
        f"{section.length:,}",
        name if isinstance(name, str) else "",
        str(frames) if type(frames) is int else "",
    )
    return f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in cells)}</tr>"


def _text(text: str) -> str:
    """Text of a bundle for HTML: whoever made it chose the names in it."""
    return escape("".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text))

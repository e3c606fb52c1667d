"""The directive `commands`: every command of `ncipher` with its arguments and options, read from the program itself.

typer has a click of its own, which Sphinx's extension for click does not know; the objects are alike, so that little is
needed to walk them.
"""

from __future__ import annotations

from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from neuralcipher.cli import app

_EXAMPLE = "Example: "


class Commands(SphinxDirective):
    """A section for each command."""

    def run(self) -> list[nodes.Node]:
        group: Any = typer.main.get_command(app)
        return [self._section(name, command) for name, command in group.commands.items()]

    def _section(self, name: str, command: Any) -> nodes.section:
        title = f"ncipher {name}"
        section = nodes.section("", nodes.title("", title), ids=[nodes.make_id(title)])
        self.state.document.note_explicit_target(section)
        paragraphs = (command.help or "").strip().split("\n\n")
        text = [" ".join(paragraph.split()) for paragraph in paragraphs]
        section += [nodes.paragraph("", line) for line in text if not line.startswith(_EXAMPLE)]
        context = command.context_class(command, info_name=title)
        usage = " ".join([title, *command.collect_usage_pieces(context)])
        examples = [line.removeprefix(_EXAMPLE) for line in text if line.startswith(_EXAMPLE)]
        section += _literal(usage)
        if examples:
            section += [nodes.paragraph("", "For example:"), _literal("\n".join(examples))]
        rows = [row for parameter in command.get_params(context) if (row := _row(parameter, context))]
        section += _list(rows)
        return section


def _row(parameter: Any, context: Any) -> tuple[str, str] | None:
    """(names and value, help) as `--help` shows them."""
    record = parameter.get_help_record(context)
    return None if record is None else (record[0], " ".join(record[1].split()))


def _literal(text: str) -> nodes.literal_block:
    return nodes.literal_block(text, text, language="text")


def _list(rows: list[tuple[str, str]]) -> nodes.definition_list:
    items = []
    for names, text in rows:
        term = nodes.term("", "", nodes.literal(names, names))
        items.append(nodes.definition_list_item("", term, nodes.definition("", nodes.paragraph("", text))))
    return nodes.definition_list("", *items)


def setup(app: Sphinx) -> dict[str, object]:
    """Called by Sphinx."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}

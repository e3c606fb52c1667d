"""Write the manual page `ncipher.1` from the commands themselves, so that it cannot fall behind them.

    python tools/man_page.py > packaging/man/ncipher.1

It reads what typer was given (names, annotations, docstrings), not the classes that typer makes of it, which differ
between its versions. `tests/cli/test_man_page.py` holds the committed page against this script.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Union

from typer.models import OptionInfo, ParameterInfo

from neuralcipher import errors
from neuralcipher.cli import app

ROOT = Path(__file__).resolve().parent.parent

EXIT_STATUS = {
    "EXIT_DONE": "Done.",
    "EXIT_FAILED": "Failed: a check did not hold, an attack broke something, or the system refused to read or write.",
    "EXIT_USAGE": "Wrong arguments, or a file that is not there.",
    "EXIT_INCONCLUSIVE": "An attack came to no decision, or one of its controls failed.",
    "EXIT_DAMAGED": "The input is damaged, is of another version, or is not what it should be.",
    "EXIT_WRONG_KEY": "No key that was given opens the bundle.",
    "EXIT_OUTPUT_EXISTS": "The output is there already; --force overwrites it.",
    "EXIT_INTERRUPTED": "Interrupted; nothing half-written was left behind.",
}
ENVIRONMENT = {
    "NCIPHER_KEY": "Path of a key file, used when neither --key nor a passphrase is given.",
    "NCIPHER_PASSPHRASE": "A passphrase, used when no --key is given, or where --passphrase would ask for one. The "
    "command takes it out of its environment, so that no child process inherits it. A file "
    "(--passphrase-file) is safer: other processes of the same user can read an environment.",
}
FILES = {
    "VIDEO.ncv": "A bundle: the sealed video.",
    "VIDEO.ncv.checkpoint/": "Encrypted, unfinished work of seal, beside the bundle; the same command goes on from it.",
    "k.bin": "A key file: 32 bytes. It should be readable by you alone (mode 0600, as keygen makes it).",
}
DESCRIPTION = (
    "ncipher memorises a video in a pair of small networks and writes it, with its sound, into one authenticated and "
    "encrypted file that only the holder of the key can play.",
    "Results go to standard output, messages and progress to standard error. An error is one sentence and a hint, "
    "never a traceback. Outputs are written beside their place and renamed; nothing is overwritten without --force.",
)
GLOBAL = {
    "--version": "Show the version.",
    "--install-completion": "Install completion of commands, options and values for bash, zsh, fish or PowerShell.",
    "--show-completion": "Print that completion instead.",
    "-h, --help": "Show the help, also of each command.",
}
ROUND_TRIP = (
    "ncipher keygen k.bin",
    "ncipher seal video.mp4 --key k.bin",
    "ncipher info video.ncv --key k.bin",
    "ncipher open video.ncv --key k.bin",
)
SEE_ALSO = "The documentation of neuralcipher: the tutorial, the command line, the format, the threat model."
PLACEHOLDERS = {int: "N", float: "NUMBER", str: "TEXT", Path: "PATH"}


def escaped(words: str) -> str:
    """Plain words in roff: hyphens stay hyphens that can be copied, and quotes stay straight."""
    found = " ".join(words.split()).replace("\\", "\\e").replace("-", "\\-")
    for character, name in (("'", "\\(aq"), ("`", "\\(ga"), ("^", "\\(ha"), ("~", "\\(ti"), ('"', "\\(dq")):
        found = found.replace(character, name)
    return found


def text(words: str) -> str:
    """A paragraph, none of whose lines is taken for a request."""
    lines = textwrap.wrap(escaped(words), 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join("\\&" + line if line.startswith(".") else line for line in lines)


def indented(commands: Sequence[str]) -> str:
    """Commands, a line each."""
    return ".PP\n.RS 4\n.nf\n" + "".join(f"{escaped(command)}\n" for command in commands) + ".fi\n.RE\n"


def tagged(tag: str, words: str) -> str:
    return f".TP\n{tag}\n{text(words)}\n"


class Parameter:
    """One argument or option of a command, as its author wrote it."""

    def __init__(self, name: str, annotation: Any, default: object) -> None:
        self.name, self.default = name, default
        self.type, self.info = annotated(annotation)
        self.several = typing.get_origin(self.type) is list
        if self.several:
            (self.type,) = typing.get_args(self.type)

    @property
    def is_option(self) -> bool:
        return isinstance(self.info, OptionInfo)

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @property
    def names(self) -> list[str]:
        """Short ones first, as the help has them."""
        long = "--" + self.name.strip("_").replace("_", "-")
        # Inside Annotated, the first of the names stands where otherwise the default would.
        first = [self.info.default] if isinstance(self.info.default, str) else []
        implied = f"{long}/--no-{long[2:]}" if self.type is bool else long
        declared = [*first, *(self.info.param_decls or ())] or [implied]
        each = [name for declaration in declared for name in declaration.split("/")]
        return sorted(each, key=lambda name: name.startswith("--"))

    @property
    def placeholder(self) -> str:
        if self.type is bool:
            return ""
        shown = self.info.metavar or (PLACEHOLDERS[self.type] if self.is_option else self.name.upper())
        return shown.strip("<>").upper()

    @property
    def synopsis(self) -> str:
        shown = f"\\fI{escaped(self.placeholder)}\\fP"
        if self.several and not self.is_option and not self.placeholder.endswith("..."):
            shown += "..."
        if self.is_option:
            shown = f"\\fB{escaped(self.names[-1])}\\fP {shown}"
        return shown if self.required else f"[{shown}]"

    def entry(self) -> str:
        names = ", ".join(f"\\fB{escaped(name)}\\fP" for name in self.names) if self.is_option else ""
        shown = f"{names} \\fI{escaped(self.placeholder)}\\fP".strip() if self.placeholder else names
        words = (self.info.help or "").strip()
        if self.required and self.is_option:
            words += " Required."
        if self.is_option and self.info.show_default and not self.required and self.default not in (None, False):
            value = self.default
            if self.type is bool:
                value = next(name for name in self.names if name.startswith("--"))
            words += f" Default: {value:g}." if isinstance(value, float) else f" Default: {value}."
        return tagged(shown, re.sub(r"(?<=[^.!?:)])(?= (?:Default|Required))", ".", words))


def annotated(annotation: Any) -> tuple[Any, ParameterInfo]:
    """(type, what typer was told) of `Annotated[type | None, info]`."""
    if typing.get_origin(annotation) is not Annotated:
        raise TypeError(f"{annotation} has no help")
    kind, *notes = typing.get_args(annotation)
    if typing.get_origin(kind) in (Union, types.UnionType):
        (kind,) = (part for part in typing.get_args(kind) if part is not type(None))
    (info,) = (note for note in notes if isinstance(note, ParameterInfo))
    return kind, info


def parameters(command: Callable[..., None]) -> list[Parameter]:
    hints = typing.get_type_hints(inspect.unwrap(command), include_extras=True)
    found = inspect.signature(command).parameters.values()
    return [Parameter(each.name, hints[each.name], each.default) for each in found]


def paragraphs(command: Callable[..., None]) -> tuple[list[str], list[str]]:
    """The paragraphs of the help, and its examples."""
    parts = [" ".join(part.split()) for part in (inspect.getdoc(command) or "").split("\n\n")]
    examples = [part.removeprefix("Example: ") for part in parts if part.startswith("Example: ")]
    return [part for part in parts if not part.startswith("Example: ")], examples


def section(name: str, command: Callable[..., None]) -> Iterator[str]:
    """One command: how it is called, what it does, its options, examples."""
    each = parameters(command)
    yield f".SS {name}\n"
    called = [f"\\fBncipher {escaped(name)}\\fP", "[\\fIOPTIONS\\fP]"]
    called += [one.synopsis for one in each if one.required and one.is_option]
    called += [one.synopsis for one in each if not one.is_option]
    yield " ".join(called) + "\n"
    words, examples = paragraphs(command)
    for part in words:
        yield f".PP\n{text(part)}\n"
    for one in sorted(each, key=lambda parameter: parameter.is_option):
        yield one.entry()
    if examples:
        yield ".PP\nExamples:\n" + indented(examples)


def field(path: str, pattern: str) -> str:
    found = re.search(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return found[1] if found else ""


def page() -> str:
    """The whole manual page, in ASCII."""
    version = field("pyproject.toml", r'^version = "(.+)"$')
    released = field("CITATION.cff", r"^date-released: [\"']?([\d-]+)")
    commands = {str(info.name): info.callback for info in app.registered_commands if info.callback and not info.hidden}
    parts = [
        '.\\" Written by tools/man_page.py from the commands: change those, not this.\n',
        f'.TH NCIPHER 1 "{released}" "neuralcipher {version}" "User Commands"\n',
        f".SH NAME\nncipher \\- {text(str(app.info.help).rstrip('.').replace('Seal', 'seal', 1))}\n",
        ".SH SYNOPSIS\n\\fBncipher\\fP \\fICOMMAND\\fP [\\fIOPTIONS\\fP] [\\fIARGUMENTS\\fP]\n",
        ".SH DESCRIPTION\n" + ".PP\n".join(f"{text(part)}\n" for part in DESCRIPTION),
        ".SH OPTIONS\n" + "".join(tagged(f"\\fB{escaped(name)}\\fP", words) for name, words in GLOBAL.items()),
        ".SH COMMANDS\n",
        *(part for name, command in commands.items() for part in section(name, command)),
        ".SH EXIT STATUS\n" + "".join(tagged(f"\\fB{code}\\fP", words) for code, words in exit_codes()),
        ".SH ENVIRONMENT\n" + "".join(tagged(f"\\fB{name}\\fP", words) for name, words in ENVIRONMENT.items()),
        ".SH FILES\n" + "".join(tagged(f"\\fI{escaped(name)}\\fP", words) for name, words in FILES.items()),
        ".SH EXAMPLES\nDraw a key, seal, look, and open again:\n" + indented(ROUND_TRIP),
        ".SH SEE ALSO\n" + text(SEE_ALSO) + "\n",
    ]
    return "".join(parts)


def exit_codes() -> list[tuple[int, str]]:
    """(number, meaning) of every exit code there is. Raises KeyError for one without words."""
    names = [name for name in vars(errors) if name.startswith("EXIT_")]
    return sorted((int(getattr(errors, name)), EXIT_STATUS[name]) for name in names)


if __name__ == "__main__":
    sys.stdout.write(page())

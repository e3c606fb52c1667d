"""Which key a command uses: --key, a passphrase, NCIPHER_KEY, or a question at the terminal. Keys never in argv."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuralcipher.cli.console import messages, warn
from neuralcipher.errors import UsageError

if TYPE_CHECKING:
    from neuralcipher.keys import Credential, Key, Passphrase

KeyOption = Annotated[
    list[Path] | None, typer.Option("--key", "-k", help="Key file; may be given more than once.", show_default=False)
]
PassphraseOption = Annotated[bool, typer.Option("--passphrase", "-p", help="Ask for a passphrase.")]
PassphraseFileOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help="Read the passphrase from this file.", show_default=False)
]

_KEY_VARIABLE = "NCIPHER_KEY"
_PHRASE_VARIABLE = "NCIPHER_PASSPHRASE"

_taken: dict[str, str] = {}


def take_passphrase() -> None:
    """Move the passphrase out of the environment, so that no child inherits it; `credentials` finds it all the same."""
    if _PHRASE_VARIABLE in os.environ:
        _taken[_PHRASE_VARIABLE] = os.environ.pop(_PHRASE_VARIABLE)


def read_key(path: Path) -> Key:
    """Read a key file, warning about one that others can read."""
    from neuralcipher.keys import Key, key_file_warning

    key = Key.read(path)
    warning = key_file_warning(path)
    if warning:
        warn(warning)
    return key


def read_passphrase(path: Path) -> Passphrase:
    """Read a passphrase file, warning about one that others can read."""
    from neuralcipher.keys import Passphrase, key_file_warning

    passphrase = Passphrase.read(path)
    warning = key_file_warning(path, "passphrase file")
    if warning:
        warn(warning)
    return passphrase


def hint_at_weak(credentials: Sequence[Credential]) -> None:
    """A word on new passphrases that are plainly easy to guess. It never refuses one."""
    from neuralcipher.keys import Passphrase, is_weak

    if any(isinstance(new, Passphrase) and is_weak(new) for new in credentials):
        warn("the passphrase may be easy to guess: five random words, or 12 characters without a pattern, are better")


def ask_passphrase(*, confirm: bool) -> Passphrase:
    """Ask at the terminal, twice if `confirm`. Raises UsageError without a terminal."""
    from neuralcipher.keys import Passphrase

    if not sys.stdin.isatty():
        raise UsageError(
            "a passphrase cannot be asked for without a terminal",
            hint=f"pass --passphrase-file or set {_PHRASE_VARIABLE}",
        )
    first = messages().input("passphrase: ", password=True)
    if confirm and messages().input("once more: ", password=True) != first:
        raise UsageError("the two passphrases differ", hint="type the same one twice")
    return Passphrase(first)


def credentials(
    keys: Sequence[Path] | None,
    passphrase: bool,
    passphrase_file: Path | None,
    *,
    confirm: bool = False,
    ask: bool = True,
    quiet: bool = False,
) -> list[Credential]:
    """Collect what the user gave.

    confirm: passphrases are new: they are typed twice, and a weak one gets a word unless `quiet`. ask: whether a
    passphrase may be asked for when nothing was given.
    Raises UsageError if there is nothing.
    """
    from neuralcipher.keys import Passphrase

    found: list[Credential] = [read_key(path) for path in keys or []]
    take_passphrase()
    variable = _taken.get(_PHRASE_VARIABLE)
    if passphrase_file is not None:
        found.append(read_passphrase(passphrase_file))
    elif passphrase:
        found.append(ask_passphrase(confirm=confirm) if variable is None else Passphrase(variable))
    elif not found and variable is not None:
        found.append(Passphrase(variable))
    if not found and os.environ.get(_KEY_VARIABLE):
        found.append(read_key(Path(os.environ[_KEY_VARIABLE])))
    if not found and ask and sys.stdin.isatty():
        found.append(ask_passphrase(confirm=confirm))
    if not found:
        raise UsageError(
            "no key was given", hint=f"pass --key FILE or --passphrase, or set {_KEY_VARIABLE} to a key file's path"
        )
    if confirm and not quiet:
        hint_at_weak(found)
    return found


def takes_passphrase(path: Path) -> bool:
    """Whether a bundle has a passphrase slot, so that asking for one makes sense."""
    from neuralcipher.container import BundleReader

    with BundleReader.open(path) as reader:
        return any(slot.kind == "passphrase" for slot in reader.slots)

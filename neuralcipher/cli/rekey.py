"""`ncipher rekey`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neuralcipher.cli import completion
from neuralcipher.cli.console import print_json, result, warn
from neuralcipher.cli.credentials import (
    KeyOption,
    PassphraseFileOption,
    PassphraseOption,
    ask_passphrase,
    credentials,
    hint_at_weak,
    read_key,
    read_passphrase,
    takes_passphrase,
)
from neuralcipher.errors import UsageError
from neuralcipher.process import prepare

if TYPE_CHECKING:
    from neuralcipher.keys import Credential


def rekey(
    bundle: Annotated[Path, typer.Argument(help="The bundle; it is replaced.", autocompletion=completion.bundles)],
    key: KeyOption = None,
    passphrase: PassphraseOption = False,
    passphrase_file: PassphraseFileOption = None,
    add_key: Annotated[list[Path] | None, typer.Option("--add-key", help="A key file that shall open it too.")] = None,
    add_passphrase: Annotated[bool, typer.Option("--add-passphrase", help="Ask for a passphrase to add.")] = False,
    add_passphrase_file: Annotated[Path | None, typer.Option(help="Add the passphrase in this file.")] = None,
    remove_slot: Annotated[int | None, typer.Option("--remove-slot", help="Number of a slot, from 0.")] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="Draw a new bundle key and encrypt again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Change which keys open a bundle, without training again.

    Example: ncipher rekey video.ncv --key k.bin --add-key new.bin
    """
    if not (add_key or add_passphrase or add_passphrase_file or remove_slot is not None or rotate):
        raise UsageError(
            "rekey was not told what to do", hint="pass --add-key, --add-passphrase, --remove-slot or --rotate"
        )
    if rotate and remove_slot is not None:
        raise UsageError("--rotate and --remove-slot do not go together", hint="rotating drops every key not given")
    keys = credentials(key, passphrase, passphrase_file, ask=takes_passphrase(bundle))
    added: list[Credential] = [read_key(path) for path in add_key or []]
    if add_passphrase_file is not None:
        added.append(read_passphrase(add_passphrase_file))
    if add_passphrase:
        added.append(ask_passphrase(confirm=True))
    hint_at_weak(added)
    slots = _rotated(bundle, keys, added) if rotate else _changed(bundle, keys, added, remove_slot)
    if as_json:
        print_json({"bundle": str(bundle), "slots": slots})
    else:
        result(f"{bundle.name}: {len(slots)} slots ({', '.join(slots)})")


def _changed(bundle: Path, keys: list[Credential], added: list[Credential], remove: int | None) -> list[str]:
    """A new header over the same payload."""
    from neuralcipher.container import BundleReader, add_slot, copy_with_slots, remove_slot
    from neuralcipher.files import output_file

    with BundleReader.open(bundle) as reader:
        reader.unlock(keys)
        if not reader.slots:
            raise UsageError(f"{bundle.name} is bare and has no key slots", hint="seal the video again")
        slots = tuple(reader.slots)
        if remove is not None:
            replaced = len(slots) == 1 and remove == 0 and added  # the last slot may go if another comes
            slots = () if replaced else remove_slot(slots, remove)
        for credential in added:
            slots = add_slot(slots, reader.bundle_key, credential)
        with output_file(bundle, force=True) as file:
            copy_with_slots(reader, slots, file)
    if remove is not None:
        warn("a removed key still opens older copies of the bundle; --rotate draws a new bundle key")
    return [slot.kind for slot in slots]


def _rotated(bundle: Path, keys: list[Credential], added: list[Credential]) -> list[str]:
    from neuralcipher.container import BundleReader
    from neuralcipher.keys import Key

    prepare()
    from neuralcipher.pipeline.upkeep import rotate

    with BundleReader.open(bundle) as reader:
        before = len(reader.slots)
    rotate(bundle, keys=keys, new_keys=[*keys, *added])
    dropped = before - len(keys)
    if dropped > 0:
        warn(f"{dropped} other keys no longer open {bundle.name}: pass them with --key or --add-key to keep them")
    return ["key" if isinstance(credential, Key) else "passphrase" for credential in (*keys, *added)]

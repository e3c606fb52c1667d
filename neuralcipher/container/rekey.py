"""Adding and removing keys of a sealed bundle: a new header over the same payload.

Whoever could read an older copy still can, and knows the bundle key; only rotation draws a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import BinaryIO

from neuralcipher.container.format import SealedHeader, check_slot_count, serialise
from neuralcipher.container.reading import BundleReader
from neuralcipher.errors import UsageError
from neuralcipher.keys import Argon2Parameters, BundleKey, Credential, Slot, seal_slot

_PIECE_BYTES = 1 << 20


def add_slot(
    slots: Sequence[Slot],
    bundle_key: BundleKey,
    credential: Credential,
    argon2: Argon2Parameters | None = None,
) -> tuple[Slot, ...]:
    """Return the slots with one more at the end. Raises LimitError above 32, or 8 passphrases."""
    added = (*slots, seal_slot(credential, bundle_key, argon2))
    check_slot_count(added, "the bundle")
    return added


def remove_slot(slots: Sequence[Slot], index: int) -> tuple[Slot, ...]:
    """Return the slots without slot `index`, counted from 0. UsageError if it is not there or the last."""
    if not 0 <= index < len(slots):
        raise UsageError(f"there is no key slot {index}", hint=f"the slots are 0..{len(slots) - 1}")
    if len(slots) == 1:
        raise UsageError("the last key slot cannot be removed", hint="add another key first")
    return (*slots[:index], *slots[index + 1 :])


def copy_with_slots(reader: BundleReader, slots: Sequence[Slot], file: BinaryIO) -> None:
    """Write the unlocked bundle of `reader` with other slots; the payload is copied as it is, unread.

    Raises UsageError if it is bare or locked, LimitError if there are too many slots.
    """
    header = reader.header
    if not isinstance(header, SealedHeader):
        raise UsageError(f"{reader.name} is bare and has no key slots", hint="seal the video again")
    changed = replace(header, slots=tuple(slots))
    file.write(serialise(changed, reader.bundle_key))
    for start in range(reader.payload_offset, reader.size_bytes, _PIECE_BYTES):
        file.write(reader.source.read(start, min(_PIECE_BYTES, reader.size_bytes - start)))

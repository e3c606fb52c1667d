"""Slots come and go; the payload stays as it is."""

from __future__ import annotations

import io

import pytest
from bundle_parts import CHEAP, KEY, OTHER, bare, content, opened, payload_offset, read_all, sealed

from neuralcipher.container import BundleReader, add_slot, copy_with_slots, remove_slot
from neuralcipher.errors import LimitError, UsageError, WrongKeyError
from neuralcipher.keys import Key, Passphrase, Slot

SECTIONS = [content(100_000), b"abc"]


def copy(reader: BundleReader, slots: tuple[Slot, ...]) -> bytes:
    file = io.BytesIO()
    copy_with_slots(reader, slots, file)
    return file.getvalue()


def unlocked(data: bytes) -> BundleReader:
    reader = opened(data)
    reader.unlock([KEY])
    return reader


@pytest.mark.parametrize("credential", [OTHER, Passphrase("p")])
def test_add_and_remove(credential: Key | Passphrase) -> None:
    before = sealed(*SECTIONS)
    reader = unlocked(before)
    both = copy(reader, add_slot(reader.slots, reader.bundle_key, credential, CHEAP))
    assert both[payload_offset(both) :] == before[payload_offset(before) :]
    assert read_all(both, KEY) == read_all(both, credential) == SECTIONS
    with pytest.raises(WrongKeyError):
        read_all(before, credential)

    reader = unlocked(both)
    after = copy(reader, remove_slot(reader.slots, 0))
    assert read_all(after, credential) == SECTIONS
    with pytest.raises(WrongKeyError):
        read_all(after, KEY)
    assert unlocked(both).segment_seed(5) == unlocked(before).segment_seed(5)


def test_the_same_slots_give_the_same_bytes() -> None:
    data = sealed(*SECTIONS, credentials=(KEY, Passphrase("p")))
    reader = unlocked(data)
    assert copy(reader, reader.slots) == data


def test_slots_that_cannot_be_removed() -> None:
    slots = unlocked(sealed(b"abc", credentials=(KEY, OTHER))).slots
    for index in (-1, 2, 99):
        with pytest.raises(UsageError, match=f"no key slot {index}"):
            remove_slot(slots, index)
    assert remove_slot(slots, 0) == slots[1:]
    assert remove_slot(slots, 1) == slots[:1]
    with pytest.raises(UsageError, match="last key slot"):
        remove_slot(slots[:1], 0)


def test_limits() -> None:
    reader = unlocked(sealed(b"abc"))
    slots = reader.slots
    for number in range(8):
        slots = add_slot(slots, reader.bundle_key, Passphrase(str(number)), CHEAP)
    with pytest.raises(LimitError, match="9 passphrase slots"):
        add_slot(slots, reader.bundle_key, Passphrase("9"), CHEAP)
    for number in range(23):
        slots = add_slot(slots, reader.bundle_key, Key(bytes([number] * 32)))
    assert len(slots) == 32
    assert read_all(copy(reader, slots), Key(bytes([22] * 32))) == [b"abc"]
    with pytest.raises(LimitError, match="33 key slots"):
        add_slot(slots, reader.bundle_key, OTHER)


def test_locked_and_bare() -> None:
    locked = opened(sealed(b"abc"))
    with pytest.raises(UsageError, match="locked"):
        copy(locked, locked.slots)
    with pytest.raises(UsageError, match="bare"):
        copy(unlocked(bare(b"abc")), ())

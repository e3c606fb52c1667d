"""The whole sentence and the whole hint of every error of a header, and of the keys that open it."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from bundle_parts import CHEAP, KEY, OTHER, header_length, opened, sealed, sealed_fields, with_header
from sentences import COPY, GOOD, LOCKED, NEWER, PLAIN, SLOTS, on_reading, said

from neuralcipher.container import BundleWriter
from neuralcipher.container.format import serialise
from neuralcipher.container.rekey import add_slot, copy_with_slots, remove_slot
from neuralcipher.container.writing import check_credentials
from neuralcipher.keys import Argon2Parameters, Credential, Passphrase, seal_slot


@pytest.mark.parametrize(
    ("data", "message", "hint"),
    [
        (b"", "x.ncv is empty", COPY),
        (b"\x89NC", "x.ncv is cut short", COPY),
        (GOOD[:12], "x.ncv is cut short", COPY),
        (GOOD[:60], "x.ncv is cut short", COPY),
        (
            GOOD.replace(b"\r\n", b"\n"),
            "x.ncv was a bundle before it was copied as text, which damaged it",
            "copy it again in binary mode",
        ),
        (b"hello, world", "x.ncv is not a neuralcipher bundle", "give the path of an .ncv file"),
        (
            GOOD[:8] + b"\2\0" + GOOD[10:],
            "x.ncv is of format version 2, and this installation reads version 1",
            NEWER,
        ),
        (
            GOOD[:8] + b"\0\0" + GOOD[10:],
            "x.ncv is of format version 0, and this installation reads version 1",
            COPY,
        ),
        (GOOD[:10] + b"\2\0" + GOOD[12:], "x.ncv is of suite 2, which this installation lacks", NEWER),
        (
            GOOD[:12] + b"\1\0\1\0" + GOOD[16:],
            "the header of x.ncv claims 65537 bytes, above the limit of 65536",
            COPY,
        ),
        (
            PLAIN[:20] + bytes([PLAIN[20] ^ 1]) + PLAIN[21:],
            "the header of x.ncv is damaged: its checksum does not match",
            COPY,
        ),
        (with_header(b"\xc0\xc0"), "the header of x.ncv is damaged: bytes follow its end", COPY),
        (with_header(b""), "the header of x.ncv is damaged: it ends too early", COPY),
        (with_header(b"\x92\1"), "the header of x.ncv is damaged: a list or map is longer than the data", COPY),
        (with_header(b"\xd9\x01a"), "the header of x.ncv is damaged: it is not canonical msgpack", COPY),
        (with_header(b"\xa2\xff\xff"), "the header of x.ncv is damaged: it is not canonical msgpack", COPY),
        (
            with_header(b"\xca\0\0\0\0"),
            "the header of x.ncv is damaged: it holds a value of the type 0xca, which is not used here",
            COPY,
        ),
        (
            with_header(b"\xdc\x04\0" + b"\xc0" * 1024),
            "the header of x.ncv is damaged: it holds more than 1024 values",
            COPY,
        ),
        (
            with_header(b"\x91" * 17 + b"\xc0"),
            "the header of x.ncv is damaged: values are nested deeper than 16",
            COPY,
        ),
        (with_header(b"\x90"), "the header of x.ncv is damaged: it is not a map", COPY),
        (with_header(b"\x90", suite=0), "the header of x.ncv is damaged: it is not a map", COPY),
        (with_header(b"\x80", suite=0), "the header of x.ncv is damaged: it lacks field 'salt'", COPY),
        (
            with_header(msgpack.packb({"salt": bytes(31)}), suite=0),
            "the header of x.ncv is damaged: field 'salt' has 31 bytes instead of 32",
            COPY,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # some of the bytes are random
)
def test_the_file_and_its_fixed_part(data: bytes, message: str, hint: str) -> None:
    assert on_reading(data) == (message, hint)


LONG = "q" * 40


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"zzz": 1}, "the header of x.ncv is damaged: it has an unknown field 'zzz'", COPY),
        ({LONG: 1}, f"the header of x.ncv is damaged: it has an unknown field '{'q' * 32}'", COPY),
        ({"commit": "text"}, "the header of x.ncv is damaged: field 'commit' of it has the wrong type", COPY),
        ({"commit": bytes(33)}, "the header of x.ncv is damaged: field 'commit' has 33 bytes instead of 32", COPY),
        (
            {"payload_salt": bytes(1)},
            "the header of x.ncv is damaged: field 'payload_salt' has 1 bytes instead of 32",
            COPY,
        ),
        ({"commit": bytes(32)}, "the header of x.ncv is damaged or forged", COPY),
        ({"aead": LONG}, f"x.ncv is encrypted with '{'q' * 32}', which this installation lacks", NEWER),
        ({"slots": []}, "the header of x.ncv is damaged: it has no key slot", COPY),
        ({"slots": [0] * 33}, "x.ncv has 33 key slots, above the limit of 32", COPY),
        ({"slots": [0]}, "the header of x.ncv is damaged: a key slot has no kind", COPY),
        (
            {"slots": [{"kind": LONG}]},
            f"x.ncv has a key slot of kind '{'q' * 32}', which this installation lacks",
            NEWER,
        ),
        ({"slots": [{"kind": "key"}]}, "the header of x.ncv is damaged: a key slot lacks field 'salt'", COPY),
        (
            {"slots": [{"kind": "key", "salt": bytes(3), "wrapped": bytes(48)}]},
            "the header of x.ncv is damaged: field 'salt' has 3 bytes instead of 32",
            COPY,
        ),
        (
            {"slots": [{"kind": "key", "salt": bytes(32), "wrapped": bytes(9)}]},
            "the header of x.ncv is damaged: field 'wrapped' has 9 bytes instead of 48",
            COPY,
        ),
    ],
)
def test_the_header(changes: dict[str, Any], message: str, hint: str) -> None:
    fields = sealed_fields() | changes
    assert on_reading(with_header(msgpack.packb({name: fields[name] for name in sorted(fields)}))) == (message, hint)


@pytest.mark.parametrize(
    ("changes", "message", "hint"),
    [
        ({"t": "1"}, "the header of x.ncv is damaged: field 't' of a passphrase slot has the wrong type", COPY),
        (
            {"t": 17},
            "a passphrase slot of x.ncv asks for argon2id with t=17",
            "at most t=16, m_kib=1048576, p=16 are accepted",
        ),
        ({"p": 0}, "the header of x.ncv is damaged: a passphrase slot has argon2id parameters that do not exist", COPY),
        ({"salt": bytes(15)}, "the header of x.ncv is damaged: field 'salt' has 15 bytes instead of 16", COPY),
        ({"wrapped": bytes(47)}, "the header of x.ncv is damaged: field 'wrapped' has 47 bytes instead of 48", COPY),
    ],
)
def test_a_passphrase_slot(changes: dict[str, Any], message: str, hint: str) -> None:
    slot = {"kind": "passphrase", "m_kib": 8, "p": 1, "salt": bytes(16), "t": 1, "wrapped": bytes(48)} | changes
    assert on_reading(with_header(msgpack.packb(sealed_fields() | {"slots": [slot]}))) == (message, hint)


def test_nine_passphrase_slots() -> None:
    slot = {"kind": "passphrase", "m_kib": 8, "p": 1, "salt": bytes(16), "t": 1, "wrapped": bytes(48)}
    data = with_header(msgpack.packb(sealed_fields() | {"slots": [slot] * 9}))
    assert on_reading(data) == ("x.ncv has 9 passphrase slots, above the limit of 8", SLOTS)


def test_a_forged_mac() -> None:
    at = 16 + header_length(GOOD)
    data = GOOD[:at] + bytes([GOOD[at] ^ 1]) + GOOD[at + 1 :]
    assert on_reading(data) == ("the header of x.ncv is damaged or forged", COPY)


PASS = Passphrase("p")
CHECK_FILE = "check that it is the key file that sealed it"
ALIKE = "; a damaged slot looks the same"


@pytest.mark.parametrize(
    ("slots", "tried", "message", "hint"),
    [
        ((KEY,), (OTHER,), "no key slot of x.ncv opens with this key", CHECK_FILE + ALIKE),
        (
            (KEY, PASS),
            (OTHER,),
            "no key slot of x.ncv opens with this key",
            CHECK_FILE + ", or pass --passphrase" + ALIKE,
        ),
        ((KEY,), (PASS,), "no key slot of x.ncv takes a passphrase", "pass --key"),
        (
            (KEY, PASS),
            (Passphrase("q"),),
            "no key slot of x.ncv opens with this passphrase",
            "type it again, or pass --key" + ALIKE,
        ),
        ((KEY,), (), *LOCKED),
    ],
)
def test_credentials_that_do_not_open(
    slots: tuple[Credential, ...], tried: tuple[Credential, ...], message: str, hint: str
) -> None:
    data = sealed(b"abc", credentials=slots)
    assert said(lambda: opened(data).unlock(tried)) == (message, hint)


def test_what_is_locked_or_bare() -> None:
    locked = opened(GOOD)
    for action in (lambda: locked.sections, lambda: locked.segment_seed(0), locked.verify, lambda: locked.chunk_count):
        assert said(action) == LOCKED
    assert said(lambda: locked.bundle_key) == ("x.ncv is locked and shows no bundle key", "")
    plain = opened(PLAIN)
    assert said(lambda: plain.bundle_key) == ("x.ncv is bare and shows no bundle key", "")
    for credentials in ((KEY, OTHER), (PASS,)):
        assert said(lambda c=credentials: plain.unlock(c)) == (
            "x.ncv is bare and takes one key file",
            "pass --key once",
        )
    assert said(lambda: copy_with_slots(plain, (), io.BytesIO())) == (
        "x.ncv is bare and has no key slots",
        "seal the video again",
    )


@pytest.mark.parametrize(
    ("credentials", "message", "hint"),
    [
        ([], "a sealed bundle needs a key file or a passphrase", "pass --key or --passphrase"),
        (
            [Passphrase(str(index)) for index in range(9)],
            "9 keys, 9 of them passphrases, are more than a bundle takes",
            "at most 32, and 8 passphrases",
        ),
        ([KEY, PASS, KEY], "the same key or passphrase is given twice", "leave one of them out"),
    ],
)
def test_credentials_that_seal_nothing(credentials: list[Credential], message: str, hint: str) -> None:
    assert said(lambda: check_credentials(credentials)) == (message, hint)


def test_slots_that_cannot_be_removed_or_written() -> None:
    slots = opened(sealed(b"", credentials=(KEY, OTHER))).slots
    for index in (-1, 2):
        assert said(lambda i=index: remove_slot(slots, i)) == (f"there is no key slot {index}", "the slots are 0..1")
    assert said(lambda: remove_slot(slots[:1], 0)) == ("the last key slot cannot be removed", "add another key first")
    header = opened(GOOD).header
    for many, message in [((), "the header of the bundle is damaged: it has no key slot")]:
        assert said(lambda m=many: serialise(replace(header, slots=m))) == (message, COPY)
    assert said(lambda: serialise(replace(header, slots=slots * 17))) == (
        "the bundle has 34 key slots, above the limit of 32",
        SLOTS,
    )
    assert said(lambda: add_slot(slots * 16, opened_key(), KEY)) == (
        "the bundle has 33 key slots, above the limit of 32",
        SLOTS,
    )
    with pytest.raises(TypeError, match=r"^a sealed header needs the bundle key$"):
        serialise(header)


def test_an_aead_that_does_not_exist() -> None:
    assert said(lambda: BundleWriter.create_sealed(io.BytesIO(), [KEY], aead="rot13")) == (
        "no AEAD is called 'rot13'",
        "there are: chacha20-poly1305, aes-256-gcm",
    )


def test_the_cost_of_a_passphrase_is_that_asked_for() -> None:
    slot = seal_slot(PASS, opened_key(), Argon2Parameters(t=2, m_kib=16, p=2))
    writer_file = io.BytesIO()
    BundleWriter.create_with_slots(writer_file, opened_key(), [slot]).finish({})
    assert opened(writer_file.getvalue()).slots == (slot,)
    (made,) = opened(sealed(b"", credentials=(PASS,))).slots
    assert made.argon2 == CHEAP
    assert add_slot((), opened_key(), PASS, Argon2Parameters(t=2, m_kib=16, p=2))[0].argon2.t == 2


def opened_key() -> Any:
    reader = opened(GOOD)
    reader.unlock([KEY])
    return reader.bundle_key

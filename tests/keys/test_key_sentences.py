"""What a user reads when a key or a passphrase is refused: the whole sentence and the whole hint."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.exceptions import UnsupportedAlgorithm

from neuralcipher import keys
from neuralcipher.errors import NeuralCipherError
from neuralcipher.files import BUNDLE_MAGIC
from neuralcipher.keys import Argon2Parameters, BundleKey, Key, Passphrase, SegmentSeed, latent, passphrase

SECRET = bytes(range(100, 132))
CHEAP = Argon2Parameters(t=1, m_kib=8, p=1)
KEYGEN = "make one with ncipher keygen"


def said(action: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(NeuralCipherError) as caught:
        action()
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (bytes(31), "the key file {} must have 32 bytes and has 31", KEYGEN),
        (bytes(33), "the key file {} must have 32 bytes and has more", KEYGEN),
        (BUNDLE_MAGIC, "{} is a bundle, not a key file", "pass the key file that sealed it"),
    ],
)
def test_key_files(tmp_path: Path, content: bytes, message: str, hint: str) -> None:
    path = tmp_path / "k.bin"
    path.write_bytes(content)
    assert said(lambda: Key.read(path)) == (message.format(path), hint)
    assert said(lambda: Key.read(tmp_path / "no")) == (
        f"the key file {tmp_path / 'no'} does not exist",
        "check the spelling of the path",
    )


def test_a_key_file_is_not_overwritten_unless_told(tmp_path: Path) -> None:
    path = tmp_path / "k.bin"
    Key(SECRET).write(path)
    assert said(lambda: Key(bytes(32)).write(path))[0] == f"{path} exists already"
    assert path.read_bytes() == SECRET


def test_key_files_that_others_can_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "k.bin"
    Key(SECRET).write(path)
    for mode in (0o610, 0o601, 0o640, 0o604):
        path.chmod(mode)
        assert keys.key_file_warning(path) == (
            f"the key file {path} can be used by others than its owner: chmod 600 would close it"
        )
    path.chmod(0o700)
    assert keys.key_file_warning(path) is None
    owner = path.stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    assert keys.key_file_warning(path) == (f"the key file {path} belongs to another user" if owner else None)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o666)
    assert keys.key_file_warning(pipe) is None
    path.chmod(0o666)
    with monkeypatch.context() as windows:  # where these bits say nothing
        windows.setattr(os, "name", "nt")
        warning = keys.key_file_warning(path)
    assert warning is None


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("\ud800", "the passphrase is not valid text", "type it again"),
        ("", "the passphrase is empty", "type at least one character"),
        ("a" * 65_537, "the passphrase is longer than 65,536 bytes", "use a key file instead"),
    ],
)
def test_passphrases(text: str, message: str, hint: str) -> None:
    assert said(lambda: Passphrase(text)) == (message, hint)
    assert len(Passphrase("a" * 65_536).reveal()) == 65_536
    assert Passphrase("he\u0301").reveal() == b"h\xc3\xa9"


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        (b"a\nb", "the passphrase file {} has more than one line", "keep one line in it"),
        (b"a\rb", "the passphrase file {} has more than one line", "keep one line in it"),
        (b"\xff", "the passphrase file {} is not UTF-8 text", "save it as UTF-8"),
        (b"\r\n", "the passphrase file {} is empty", "put one line in it"),
        (b"a" * 65_537, "the passphrase is longer than 65,536 bytes", "use a key file instead"),
    ],
)
def test_passphrase_files(tmp_path: Path, content: bytes, message: str, hint: str) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(content)
    assert said(lambda: Passphrase.read(path)) == (message.format(path), hint)


def test_the_longest_passphrase_file(tmp_path: Path) -> None:
    path = tmp_path / "p.txt"
    path.write_bytes(b"a" * 65_536 + b"\r\n")
    assert Passphrase.read(path).reveal() == b"a" * 65_536
    assert said(lambda: Passphrase.read(tmp_path / "no"))[0] == f"the passphrase file {tmp_path / 'no'} does not exist"


@pytest.mark.parametrize(
    ("cost", "message", "hint"),
    [
        ((17, 64, 1), "argon2id with t=17 costs too much", "at most t=16, m_kib=1048576, p=16 are accepted"),
        (
            (1, 2**20 + 1, 1),
            "argon2id with m_kib=1048577 costs too much",
            "at most t=16, m_kib=1048576, p=16 are accepted",
        ),
        ((1, 2**20, 17), "argon2id with p=17 costs too much", "at most t=16, m_kib=1048576, p=16 are accepted"),
        ((0, 64, 1), "argon2id needs t >= 1, p >= 1 and m >= 8 p KiB", "use the defaults"),
        ((1, 64, 0), "argon2id needs t >= 1, p >= 1 and m >= 8 p KiB", "use the defaults"),
        ((1, 15, 2), "argon2id needs t >= 1, p >= 1 and m >= 8 p KiB", "use the defaults"),
    ],
)
def test_the_cost_of_a_passphrase(cost: tuple[int, int, int], message: str, hint: str) -> None:
    assert said(lambda: Argon2Parameters(*cost)) == (message, hint)
    assert Argon2Parameters(1, 16, 2).m_kib == 16


@pytest.mark.parametrize(
    ("fault", "message", "hint"),
    [
        (
            UnsupportedAlgorithm("no"),
            "this installation has no argon2id, which a passphrase needs",
            "install cryptography >= 44 with OpenSSL >= 3.2, or use a key file",
        ),
        (
            MemoryError(),
            "the passphrase slot needs 8 KiB of memory, more than there is",
            "close other programs, or use a key file",
        ),
    ],
)
def test_a_machine_that_cannot_stretch(
    monkeypatch: pytest.MonkeyPatch, fault: Exception, message: str, hint: str
) -> None:
    def fail(**_: object) -> None:
        raise fault

    monkeypatch.setattr(passphrase, "Argon2id", fail)
    assert said(lambda: Passphrase("horse").stretch(bytes(16), CHEAP)) == (message, hint)


@pytest.mark.parametrize("kind", [Key, BundleKey, SegmentSeed])
def test_what_secrets_say_of_themselves(kind: type[Key]) -> None:
    name = kind.__name__
    assert repr(kind(SECRET)) == f"{name}(hidden)"
    with pytest.raises(ValueError, match=rf"^a {name} has 32 bytes, not 5$"):
        kind(bytes(5))
    with pytest.raises(TypeError, match=rf"^a {name} is not hashable$"):
        hash(kind(SECRET))
    with pytest.raises(TypeError, match=rf"^a {name} is not pickled or copied$"):
        kind(SECRET).__reduce__()


def test_what_a_passphrase_says_of_itself() -> None:
    assert repr(Passphrase("horse")) == "Passphrase(hidden)"
    with pytest.raises(TypeError, match=r"^a Passphrase is not hashable$"):
        hash(Passphrase("horse"))
    with pytest.raises(TypeError, match=r"^a Passphrase is not pickled or copied$"):
        Passphrase("horse").__reduce__()


def test_segments_and_start_latents(monkeypatch: pytest.MonkeyPatch) -> None:
    assert said(lambda: keys.segment_seed(Key(SECRET), bytes(32), 2**64)) == (
        "segment 18446744073709551616 is not in 0..2**64-1",
        "segments count from 0",
    )
    seed = keys.segment_seed(Key(SECRET), bytes(32), 2**64 - 1)
    for shape in ((0, 1, 1), (1, 1)):
        assert said(lambda s=shape: keys.start_latent(seed, s)) == (
            f"a start latent needs three sizes of at least 1, not {shape}",
            "",
        )
    assert said(lambda: keys.start_latent(seed, (2**10, 2**10, 2**10 + 1))) == (
        f"a start latent of {2**30 + 2**20} bytes is above the limit of {2**30}",
        "",
    )
    assert keys.start_latent(seed, (1, 1, 1)).flags.writeable
    monkeypatch.setattr(latent, "MAX_LATENT_BYTES", 60)
    assert keys.start_latent(seed, (3, 4, 5)).shape == (3, 4, 5)
    assert said(lambda: keys.start_latent(seed, (1, 1, 61)))[0] == "a start latent of 61 bytes is above the limit of 60"


def test_keys_are_drawn_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def drawn(count: int) -> bytes:
        asked.append(count)
        return bytes([len(asked)]) * count

    monkeypatch.setattr(os, "urandom", drawn)
    assert Key.generate().reveal() == b"\1" * 32
    assert BundleKey.generate().reveal() == b"\2" * 32
    assert keys.seal_slot(Key(SECRET), BundleKey(SECRET)).salt == b"\3" * 32
    assert keys.seal_slot(Passphrase("p"), BundleKey(SECRET), CHEAP).salt == b"\4" * 16
    assert asked == [32, 32, 32, 16]


def test_a_passphrase_slot_costs_what_was_asked_or_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    costs: list[Argon2Parameters] = []

    def cheaply(self: Passphrase, salt: bytes, parameters: Argon2Parameters) -> bytes:
        costs.append(parameters)
        return bytes(32)

    monkeypatch.setattr(Passphrase, "stretch", cheaply)
    slot = keys.seal_slot(Passphrase("p"), BundleKey(SECRET))
    assert slot.argon2 == Argon2Parameters()  # type: ignore[union-attr]
    assert keys.open_slot(slot, Passphrase("p")) == BundleKey(SECRET)
    keys.seal_slot(Passphrase("p"), BundleKey(SECRET), CHEAP)
    assert costs == [Argon2Parameters(), Argon2Parameters(), CHEAP]

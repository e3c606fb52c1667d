"""The vectors: what each file says must happen, with this package's reader and with a second, minimal one."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import minimal_reader
import pytest

from neuralcipher.container import BundleReader
from neuralcipher.errors import (
    HeaderDamagedError,
    LimitError,
    NeuralCipherError,
    NotABundleError,
    PayloadDamagedError,
    TruncatedError,
    UnsupportedError,
    WrongKeyError,
)
from neuralcipher.keys import Key, Passphrase

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
PATHS = sorted((VECTORS / "files").iterdir())

EXPECTED: dict[str, type[NeuralCipherError]] = {
    "not a bundle": NotABundleError,
    "unsupported": UnsupportedError,
    "over limit": LimitError,
    "truncated": TruncatedError,
    "header refused": HeaderDamagedError,
    "MAC wrong": HeaderDamagedError,
    "no slot opens": WrongKeyError,
    "payload damaged": PayloadDamagedError,
}


@dataclass(frozen=True)
class Vector:
    fields: dict[str, str]
    data: bytes

    @classmethod
    def read(cls, path: Path) -> Vector:
        text, _, data = path.read_bytes().partition(b"\n\n")
        pairs = (line.split(": ", 1) for line in text.decode().splitlines())
        return cls(dict(pairs), data)  # type: ignore[arg-type]

    @property
    def credential(self) -> Key | Passphrase:
        if "key" in self.fields:
            return Key(bytes.fromhex(self.fields["key"]))
        return Passphrase(self.fields["passphrase"])


def payload(path: Path, credential: Key | Passphrase) -> bytes:
    """All sections one after another; every chunk is verified."""
    with BundleReader.open(path) as reader:
        reader.unlock([credential])
        found = b"".join(reader.read_section(section) for section in reader.sections)
        assert reader.verify() == []
        return found


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_the_reader_does_what_the_vector_says(path: Path, tmp_path: Path) -> None:
    vector = Vector.read(path)
    bundle = tmp_path / "vector.ncv"
    bundle.write_bytes(vector.data)
    expect = vector.fields["expect"]
    started = time.process_time()
    if expect == "opens":
        digest = hashlib.sha256(payload(bundle, vector.credential)).hexdigest()
        assert digest == vector.fields["payload"]
        return
    with pytest.raises(NeuralCipherError) as caught:
        payload(bundle, vector.credential)
    assert type(caught.value) is EXPECTED[expect], caught.value.message
    if expect != "not a bundle" or vector.data:
        assert "vector.ncv" in caught.value.message
    if expect == "MAC wrong":
        assert "damaged or forged" in caught.value.message
    # A hostile file costs nothing: no parameter is computed before it is checked.
    assert time.process_time() - started < 5


@pytest.mark.parametrize("path", [p for p in PATHS if p.name.startswith("ok-")], ids=lambda path: path.name)
def test_a_minimal_reader_opens_the_good_ones(path: Path) -> None:
    vector = Vector.read(path)
    secret = bytes.fromhex(vector.fields["key"]) if "key" in vector.fields else vector.fields["passphrase"]
    _, sections = minimal_reader.read(vector.data, secret)
    assert hashlib.sha256(b"".join(data for _, data in sections)).hexdigest() == vector.fields["payload"]


@pytest.mark.parametrize("path", [p for p in PATHS if not p.name.startswith("ok-")], ids=lambda path: path.name)
def test_the_minimal_reader_accepts_none_of_the_bad_ones(path: Path) -> None:
    vector = Vector.read(path)
    secret = bytes.fromhex(vector.fields["key"]) if "key" in vector.fields else vector.fields["passphrase"]
    with pytest.raises(minimal_reader.Refused):
        minimal_reader.read(vector.data, secret)


def test_there_are_enough_and_each_says_why() -> None:
    vectors = [Vector.read(path) for path in PATHS]
    assert len(vectors) >= 150
    assert {vector.fields["expect"] for vector in vectors} == {"opens", *EXPECTED}
    assert all(vector.fields["comment"] for vector in vectors)
    assert sum(path.stat().st_size for path in PATHS) < 2_000_000


def test_the_script_makes_the_same_files(tmp_path: Path) -> None:
    """And it uses nothing of the package."""
    for script in VECTORS.glob("*.py"):
        text = script.read_text()
        assert "neuralcipher" not in text
        (tmp_path / script.name).write_text(text)
    subprocess.run([sys.executable, str(tmp_path / "make_vectors.py")], check=True, stdout=subprocess.DEVNULL)
    made = {path.name: path.read_bytes() for path in (tmp_path / "files").iterdir()}
    assert made == {path.name: path.read_bytes() for path in PATHS}

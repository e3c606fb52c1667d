"""Every vector of the format through the player's reader, in one Node process: the same outcome, the same sentences."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from player_parts import ASSETS, NODE, needs_node

from neuralcipher.container import BundleReader
from neuralcipher.errors import BundleError, NeuralCipherError
from neuralcipher.keys import Key, Passphrase

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "files"
SCRIPT = Path(__file__).with_name("read_vectors.mjs")

pytestmark = needs_node


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, str]]:
    command = [NODE, str(SCRIPT), str(ASSETS), str(VECTORS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def told(path: Path, folder: Path) -> dict[str, str]:
    """What this package's own reader says of a vector."""
    text, _, data = path.read_bytes().partition(b"\n\n")
    fields = dict(line.split(": ", 1) for line in text.decode().splitlines())
    bundle = folder / "vector.ncv"
    bundle.write_bytes(data)
    try:
        with BundleReader.open(bundle) as reader:
            key = Key(bytes.fromhex(fields["key"])) if "key" in fields else Passphrase(fields["passphrase"])
            reader.unlock([key])
            for section in reader.sections:
                reader.read_section(section)
            problems = reader.verify()
            if problems:
                raise BundleError(problems[0].message)
    except NeuralCipherError as error:
        return {"kind": type(error).__name__, "message": error.message.replace(f"{folder}/", "")}
    return {"kind": "opens", "payload": fields["payload"]}


def test_each_vector_comes_out_alike(seen: dict[str, dict[str, str]], tmp_path: Path) -> None:
    paths = sorted(VECTORS.iterdir())
    assert sorted(seen) == [path.name for path in paths]
    different = []
    for path in paths:
        own, other = told(path, tmp_path), {k: v for k, v in seen[path.name].items() if k != "hint"}
        if own["kind"] == "BundleError":  # a chunk that only `verify` reads
            own["kind"] = other["kind"]
        if own != other:
            different.append((path.name, own, other))
    assert different == []

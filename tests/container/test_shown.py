"""A bundle at a prompt and in a notebook: what anyone may see, escaped, and never a key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from neuralcipher.container import BundleReader, BundleWriter
from neuralcipher.keys import Key


def test_it_shows_the_bundle_and_no_key(tmp_path: Path) -> None:
    key, path = Key(b"canary-of-the-key-file-32-bytes!"), tmp_path / "a_<b>.ncv"
    with path.open("wb") as file:
        writer = BundleWriter.create_sealed(file, [key])
        writer.add_section("flow<i>\u202e", 0, b"abc", name="latent<s>", frames=7)
        writer.finish({})
    with BundleReader.open(path) as reader:
        assert repr(reader) == f"<BundleReader 'a_<b>.ncv': sealed, locked, {path.stat().st_size} bytes, slots: key>"
        locked = reader._repr_html_()
        assert "a_&lt;b&gt;.ncv" in locked
        assert "latent" not in locked
        reader.unlock([key])
        shown = reader._repr_html_()
        for text in ("flow&lt;i&gt;\N{REPLACEMENT CHARACTER}", "latent&lt;s&gt;", "<td>7</td>", "open"):
            assert text in shown, text
        secret = reader.bundle_key.reveal()
        for bad in (key.reveal().decode(), secret.hex(), repr(secret)):
            assert bad not in shown + repr(reader)
    assert reader._repr_html_() == shown
    with BundleReader.open(path) as unread:
        unread.unlock([key])
    assert "latent" not in unread._repr_html_()  # closed before its directory was read


def test_it_loads_nothing_heavy() -> None:
    heavy = {"torch", "av", "PIL", "rich"}
    code = f"import sys, neuralcipher; neuralcipher.Bundle; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

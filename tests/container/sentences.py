"""What a user reads when an action is refused."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from bundle_parts import KEY, bare, opened, sealed

from neuralcipher.errors import NeuralCipherError
from neuralcipher.keys import Credential

COPY = "fetch the file again from where it came from"
NEWER = "install a newer neuralcipher"
SLOTS = "a bundle has at most 32 slots, 8 of them for passphrases"
LOCKED = ("x.ncv is locked", "pass --key or --passphrase")
GOOD = sealed(b"abc")
PLAIN = bare(b"abc")


def said(action: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(NeuralCipherError) as caught:
        action()
    return caught.value.message, caught.value.hint


def on_reading(data: bytes, *credentials: Credential) -> tuple[str, str]:
    def read() -> None:
        reader = opened(data)
        reader.unlock(credentials or (KEY,))
        for section in reader.sections:
            reader.read_section(section)

    return said(read)

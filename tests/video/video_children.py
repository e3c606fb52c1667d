"""Children that are not what they should be, for the tests of what their parent makes of them."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from neuralcipher.video import session


@pytest.fixture(autouse=True)
def alone() -> Any:
    session.forget()
    yield
    session.forget()


def instead(monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let children run this instead of what they should."""
    code = f"import os, signal, struct, sys, time\nos.read(0, 1)\n{script}"
    monkeypatch.setattr(session, "command", lambda: [sys.executable, "-I", "-S", "-c", code])


def says(*messages: bytes) -> str:
    return f"sys.stdout.buffer.write({b''.join(messages)!r}); sys.stdout.flush(); os.read(0, 1 << 16); time.sleep(600)"

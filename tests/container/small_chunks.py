"""Chunks of a few bytes, so that a bundle of many is small enough to damage in every way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from neuralcipher.container import reading, stream

CHUNK = 48


@contextmanager
def small_chunks() -> Iterator[None]:
    """The format with chunks of 48 bytes instead of 65,536; nothing else differs."""
    sizes = {"CHUNK_BYTES": CHUNK, "SEALED_CHUNK_BYTES": CHUNK + stream.TAG_BYTES}
    with mock.patch.multiple(stream, **sizes), mock.patch.multiple(reading, **sizes):
        yield

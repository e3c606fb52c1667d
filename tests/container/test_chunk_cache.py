"""Reading back and forth: every chunk opens whenever it is asked for, and the last four used are kept."""

from __future__ import annotations

import io

from bundle_parts import content
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from neuralcipher.container.format import Source
from neuralcipher.container.stream import CHUNK_BYTES, SEALED_CHUNK_BYTES, StreamReader, StreamWriter

CIPHER = ChaCha20Poly1305(bytes(range(32)))
CHUNKS = 7
PLAIN = content(CHUNKS * CHUNK_BYTES - 9)


class Watched(Source):
    """A source that notes which chunks are read."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), len(data), "x.ncv")
        self.chunks: list[int] = []

    def read(self, offset: int, length: int) -> bytes:
        self.chunks.append(offset // SEALED_CHUNK_BYTES)
        return super().read(offset, length)

    def taken(self) -> list[int]:
        taken, self.chunks = self.chunks, []
        return taken


def watched() -> tuple[Watched, StreamReader]:
    file = io.BytesIO()
    writer = StreamWriter(file, CIPHER)
    writer.write(PLAIN)
    writer.close()
    source = Watched(file.getvalue())
    return source, StreamReader(source, 0, source.size, CIPHER)


def test_every_chunk_opens_in_any_order_and_again() -> None:
    _, stream = watched()
    for index in [*range(CHUNKS), *reversed(range(CHUNKS)), 6, 0, 6, 1, 2, 3, 4, 5, 6]:
        start = index * CHUNK_BYTES
        assert stream.read(start, 50) == PLAIN[start : start + 50]


def test_the_last_chunk_is_verified_once_and_four_are_kept() -> None:
    source, stream = watched()
    steps = [
        (0, [6, 0]),  # before the first, the last
        (1, [1]),
        (2, [2]),
        (0, []),
        (1, []),
        (2, []),
        (6, []),
        (3, [3]),  # 0 goes, as it was used longest ago
        (1, []),
        (2, []),
        (6, []),
        (3, []),
        (0, [0]),
        (1, [1]),
    ]
    for index, read in steps:
        assert stream.read(index * CHUNK_BYTES + 7, 1) == PLAIN[index * CHUNK_BYTES + 7 :][:1]
        assert source.taken() == read, index

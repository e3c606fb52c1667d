"""What passes between a reader and the child that decodes for it: msgpack arrays, each after its length.

The child is not to be trusted (FFmpeg ran in it on whatever the file holds), so the parent bounds every length before
it reads, and takes only plain numbers, texts, bytes and short lists of them.
"""

from __future__ import annotations

import struct
from typing import Any

import msgpack

from neuralcipher.video.metadata import plain_text

LENGTH = struct.Struct(">I")
# More than the timestamps of a video at their longest, and than the largest packet of sound.
MAX_MESSAGE_BYTES = 2**27
# Packets of sound are sent in lists.
BATCH_PACKETS = 1024
BATCH_BYTES = 2**20
_MAX_TEXT = 1000


def told(text: str) -> str:
    """A text of the child as the user may see it: not long, and without what steers a terminal."""
    return plain_text(text[:_MAX_TEXT])


def pack(*parts: object) -> bytes:
    """One message: what it is, and its parts."""
    body: bytes = msgpack.packb(parts, use_bin_type=True, unicode_errors="surrogateescape")
    return LENGTH.pack(len(body)) + body


def unpack(body: bytes | bytearray) -> list[Any]:
    """The parts of a message. Raises ValueError unless it is a list that starts with a text."""
    try:
        parts = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            unicode_errors="surrogateescape",
            max_map_len=32,
            max_array_len=BATCH_PACKETS,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException, RecursionError):
        raise ValueError("no message") from None
    if type(parts) is not list or not parts or type(parts[0]) is not str:
        raise ValueError("no message")
    return parts

"""Clips made with PyAV for the tests: one per codec, pixel format or oddity, of one moving picture."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
BUNNY = Path(__file__).resolve().parents[2] / "neuralcipher" / "data" / "bunny.mp4"


def picture(number: int, width: int = 64, height: int = 48) -> Picture:
    """A smooth gradient that moves, brightest at the top left, with a red corner at the top right."""
    y, x = np.mgrid[0:height, 0:width]
    base = 220 - 90 * x / width - 80 * y / height + 8 * np.sin((x + 3 * number) / 9)
    rgb = np.stack([base, base * 0.8 + 10, base * 0.6 + 20], axis=-1)
    rgb[: height // 3, 2 * width // 3 :] = (200, 40, 40)
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def numbered(number: int, width: int = 64, height: int = 48) -> Picture:
    """A picture that says its number, below 256, in two rows of four black or white fields that any coder keeps."""
    bits = np.array([number >> bit & 1 for bit in range(8)], np.uint8).reshape(2, 4) * 255
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 4 // width
    return np.repeat(bits[rows][:, columns, None], 3, axis=2)


def number_of(image: Picture) -> int:
    """What `numbered` wrote into a picture of any size."""
    height, width, _ = image.shape
    fields = [[image[(2 * y + 1) * height // 4, (2 * x + 1) * width // 8, 1] for x in range(4)] for y in range(2)]
    return sum((value > 127) << bit for bit, value in enumerate(np.array(fields).ravel().tolist()))


def encode(
    path: Path,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    *,
    size: tuple[int, int] = (64, 48),
    frames: int = 12,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    options: dict[str, str] | None = None,
    setup: Callable[[Any], None] | None = None,
    sound: str | None = None,
    sound_rate: int = 48000,
    muxer: dict[str, str] | None = None,
    draw: Callable[[int, int, int], Picture] = picture,
) -> Path:
    """Encode `frames` pictures, with a sine wave beside them if `sound` names a codec."""
    width, height = size
    with av.open(str(path), "w", container_options=muxer or {}) as output:
        stream: Any = output.add_stream(codec, rate=25, options=options or {})
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = time_base
        stream.time_base = time_base
        if setup is not None:
            setup(stream)
        voice: Any = output.add_stream(sound, rate=sound_rate, layout="stereo") if sound else None
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(number, width, height), format="rgb24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=5)
            frame.pts = pts[number] if pts is not None else number
            frame.time_base = time_base
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
        if voice is not None:
            sing(output, voice, sound_rate, frames / 25)
    return path


def chunk(kind: bytes, data: bytes) -> bytes:
    """A box of an MP4 file."""
    return struct.pack(">I", 8 + len(data)) + kind + data


def patched(data: bytes, kind: bytes, offset: int, value: bytes) -> bytes:
    """MP4 data with `value` at so many bytes after the name of its first box of a kind."""
    at = data.index(kind) + len(kind) + offset
    return data[:at] + value + data[at + len(value) :]


def sing(output: Any, voice: Any, rate: int, seconds: float) -> None:
    samples = np.arange(int(rate * seconds))
    wave = (8000 * np.sin(samples * 2 * np.pi * 440 / rate)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(np.repeat(wave, 2)[None, :], format="s16", layout="stereo")
    frame.sample_rate = rate
    frame.pts = 0
    frame.time_base = Fraction(1, rate)
    output.mux(voice.encode(frame))
    output.mux(voice.encode(None))

"""The process that decodes: opens one file, gives up what it does not need, and answers its parent until it is left.

Started by `session` with requests on its standard input and answers on its standard output. Imports neither torch nor
numpy, and knows no key.
"""

from __future__ import annotations

import io
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any

import av.error
import av.subtitles.codeccontext
import av.subtitles.stream

from neuralcipher.errors import UsageError, VideoError, place_of
from neuralcipher.video.inputs import existing
from neuralcipher.video.limits import Limits, allow_cpu, confine
from neuralcipher.video.metadata import AudioPacket
from neuralcipher.video.pixels import Orientation, Plan, ToRgb, orientation_of
from neuralcipher.video.source import Decoder, Feed, clock_shift, opened
from neuralcipher.video.survey import Survey
from neuralcipher.video.tracks import can_carry, read_track
from neuralcipher.video.wire import BATCH_BYTES, BATCH_PACKETS, LENGTH, pack, unpack

# Whoever reads the sound after the frames asks within a moment; a child that nobody asks any more ends.
_IDLE_S = 10.0
_TICK_S = 1.0


class _Out:
    """The pipe to the parent. Writing to it is progress, and so is what the decoder reports."""

    def __init__(self, descriptor: int, limits: Limits) -> None:
        self._descriptor = descriptor
        self._limits = limits
        self._told = time.monotonic()

    def send(self, *parts: object) -> None:
        """Write one message; blocks while the parent does not read."""
        self.write(pack(*parts))
        self.granted()

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it."""
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]

    def progress(self) -> None:
        """Tell the parent, now and then, that this process gets on."""
        if time.monotonic() - self._told >= _TICK_S:
            self.send("tick")

    def granted(self) -> None:
        """Start the time anew that may pass without progress."""
        self._told = time.monotonic()
        allow_cpu(self._limits)


def main() -> None:
    """Serve the parent. Never returns; every end is quiet."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What a library prints must not reach the parent as an answer.
    descriptor = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    requests: queue.SimpleQueue[list[Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    with suppress(BrokenPipeError, queue.Empty):
        _, path, memory_bytes, stall_s = requests.get(timeout=_IDLE_S)
        limits = Limits(memory_bytes, stall_s)
        out = _Out(descriptor, limits)
        feed: Feed | None = None
        while True:
            request = requests.get(timeout=_IDLE_S)
            out.granted()
            try:
                if feed is None:
                    _warm()
                    feed = Feed(existing(os.fsdecode(path)), out.progress)
                    confine(limits, folder=feed.folder)
                _ANSWERS[request[0]](feed, out, *request[1:])
            except BrokenPipeError:
                raise
            except Exception as error:  # the parent makes a sentence of whatever it is
                out.send(*_told(error))
    os._exit(0)


def _warm() -> None:
    """Decode one grey picture, so that whatever PyAV imports only when it is used is there before files are closed."""
    picture = io.BytesIO(b"YUV4MPEG2 W2 H2 F25:1 C420jpeg\nFRAME\n" + bytes([128] * 6))
    with av.open(picture) as container:
        for frame in container.decode(video=0):
            orientation_of(frame)
            ToRgb(Plan(2, 2, Orientation(), 6)).convert(frame)


def _listen(requests: queue.SimpleQueue[list[Any]]) -> None:
    """Pass requests on. When the parent ends, however it ends, so does this process, whatever it is at."""
    while True:
        head = _read(LENGTH.size)
        requests.put(unpack(_read(LENGTH.unpack(head)[0])))


def _read(size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = os.read(0, size - len(data))
        if not piece:
            os._exit(0)
        data += piece
    return data


def _told(error: Exception) -> tuple[str, ...]:
    """An error as a message: what the user did, what the video is, or a fault of ours, named by its place."""
    if isinstance(error, (UsageError, VideoError)):
        return ("usage" if isinstance(error, UsageError) else "video", error.message, error.hint)
    if isinstance(error, MemoryError):
        return ("memory",)
    if isinstance(error, av.error.FFmpegError):
        return ("ffmpeg", str(error.strerror or type(error).__name__))
    place = place_of(error)
    where = f"{Path(place[0]).name}:{place[1]}" if place is not None else "nowhere"
    return ("fault", f"{type(error).__name__} at {where}")


def _probe(feed: Feed, out: _Out, scale: list[int] | None, max_frames: int | None, strict: bool) -> None:
    found = Survey(feed, None if scale is None else (scale[0], scale[1]), max_frames).run(strict)
    plan = found.plan
    turned = (plan.orientation.transpose, plan.orientation.mirror_x, plan.orientation.mirror_y)
    fields, codec = found.info.to_dict(), found.audio_codec
    out.send("found", fields, found.warnings, codec, found.cut, turned, plan.matrix, found.changes)


def _frames(feed: Feed, out: _Out, size: list[int], turned: list[bool], matrix: int, count: int) -> None:
    to_rgb = ToRgb(Plan(size[0], size[1], Orientation(*turned), matrix))
    sent = 0
    for frame, _ in Decoder(feed).frames():
        picture = to_rgb.convert(frame)
        out.send("picture", picture.layout, picture.stride, picture.full)
        out.write(picture.pixels)
        sent += 1
        if sent == count:
            break
    out.send("end", sent)


def _audio(feed: Feed, out: _Out, max_time: str | None) -> None:
    track = None
    batch: list[tuple[int, int, int, bool, bytes]] = []
    held = 0

    def put(packet: AudioPacket) -> None:
        nonlocal held
        batch.append((packet.pts, packet.dts, packet.duration, packet.key, packet.data))
        held += len(packet.data)
        if held >= BATCH_BYTES or len(batch) == BATCH_PACKETS:
            out.send("packets", batch)
            batch.clear()
            held = 0

    if not feed.folder:
        with opened(feed) as container:
            sounds = container.streams.audio
            if sounds and can_carry(sounds[0]):
                limit = None if max_time is None else Fraction(max_time)
                track = read_track(container, sounds[0], clock_shift(container), limit, put)
    out.send("packets", batch)
    out.send("track", None if track is None else track.to_bytes())


_ANSWERS: dict[str, Callable[..., None]] = {"probe": _probe, "frames": _frames, "audio": _audio}

if __name__ == "__main__":
    main()

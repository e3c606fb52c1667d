"""Sound packets between files and `AudioTrack`: read unchanged, written unchanged, never decoded."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import Any

import av
import av.error
from av.container import InputContainer, OutputContainer
from av.packet import PacketSideData, packet_sidedata_type_from_literal

from neuralcipher.errors import UsageError
from neuralcipher.video.metadata import (
    LAYOUT_NAME,
    MAX_AUDIO_BYTES,
    MAX_AUDIO_PACKETS,
    MAX_EXTRADATA_BYTES,
    MAX_PACKET_BYTES,
    MAX_SAMPLE_RATE,
    AudioPacket,
    AudioTrack,
)
from neuralcipher.video.packing import INT64_MAX, INT64_MIN
from neuralcipher.video.pixels import ratio

_MAX_SKIP = 2**31 - 1  # what a bundle's field holds
# FFmpeg's codec -> Matroska's codec ID (matroska.org, "codec mappings"). A codec that Matroska
# cannot name could not be written anywhere again, so it is not carried.
_MATROSKA_ID = {
    "aac": "A_AAC",
    "ac3": "A_AC3",
    "alac": "A_ALAC",
    "dts": "A_DTS",
    "eac3": "A_EAC3",
    "flac": "A_FLAC",
    "mp1": "A_MPEG/L1",
    "mp2": "A_MPEG/L2",
    "mp3": "A_MPEG/L3",
    "opus": "A_OPUS",
    "pcm_f32le": "A_PCM/FLOAT/IEEE",
    "pcm_f64le": "A_PCM/FLOAT/IEEE",
    "pcm_s16be": "A_PCM/INT/BIG",
    "pcm_s16le": "A_PCM/INT/LIT",
    "pcm_s24be": "A_PCM/INT/BIG",
    "pcm_s24le": "A_PCM/INT/LIT",
    "pcm_s32be": "A_PCM/INT/BIG",
    "pcm_s32le": "A_PCM/INT/LIT",
    "pcm_u8": "A_PCM/INT/LIT",
    "truehd": "A_TRUEHD",
    "tta": "A_TTA1",
    "vorbis": "A_VORBIS",
    "wavpack": "A_WAVPACK4",
}
# What players expect inside MP4; FFmpeg would write a few more that most of them cannot play.
_MP4_CODECS = frozenset({"aac", "ac3", "alac", "eac3", "flac", "mp2", "mp3", "opus"})
# Decoders that PyAV may report under another name than the codec's.
_CODEC_OF_DECODER = {"mp3float": "mp3", "mp2float": "mp2", "mp1float": "mp1", "dca": "dts", "libopus": "opus"}


def container_for(audio: AudioTrack | None) -> str:
    """The format to write by default: "mp4", or "mkv" if the sound cannot live in MP4."""
    return "mp4" if audio is None or audio.codec in _MP4_CODECS else "mkv"


def check_fits(audio: AudioTrack | None, format: str) -> None:
    """Raise UsageError if the sound cannot be written into that format."""
    if audio is None:
        return
    if format == "mp4" and audio.codec not in _MP4_CODECS:
        raise UsageError(
            f"the sound is {audio.codec}, which MP4 cannot hold", hint="choose an output that ends in .mkv"
        )
    if audio.codec not in _MATROSKA_ID:
        raise UsageError(
            f"the sound is {audio.codec}, which cannot be written", hint="open the bundle without its sound"
        )


def codec_name(stream: Any) -> str:
    """FFmpeg's codec name of a stream, whichever decoder stands for it."""
    name = str(stream.codec_context.name) if stream.codec_context is not None else ""
    return _CODEC_OF_DECODER.get(name, name)


def can_carry(stream: Any) -> bool:
    """Whether the packets of a sound stream can be kept and written again."""
    context = stream.codec_context
    if context is None or not 0 < context.sample_rate <= MAX_SAMPLE_RATE or not context.layout.nb_channels:
        return False
    if not LAYOUT_NAME.fullmatch(context.layout.name):
        return False
    return codec_name(stream) in _MATROSKA_ID and len(context.extradata or b"") <= MAX_EXTRADATA_BYTES


def read_track(
    container: InputContainer,
    stream: Any,
    shift: Fraction,
    max_time: Fraction | None,
    put: Callable[[AudioPacket], None],
) -> AudioTrack | None:
    """Hand a stream's packets to `put`, one by one. shift: seconds to subtract; max_time: seconds (shifted) to stop at.

    A damaged end, and packets whose times leave 64 bits, are left out. Returns the track without its packets, or None
    if there are none.
    """
    context = stream.codec_context
    time_base = ratio(stream.time_base)
    if time_base is None or time_base <= 0:
        time_base = Fraction(1, context.sample_rate)
    offset = round(shift / time_base)
    total = following = count = 0
    skips = (0, 0)
    cut = False
    for packet in _readable(container, stream):
        data = bytes(packet)
        stamp = packet.pts if packet.pts is not None else packet.dts
        pts = following if stamp is None else stamp - offset
        if max_time is not None and pts * time_base >= max_time:
            cut = True
            break
        dts = pts if packet.dts is None or stamp is None else packet.dts - offset
        duration = max(0, packet.duration or 0)
        if not (_fits(pts) and _fits(dts)):
            continue
        start, end = _skips(packet)
        skips = (start if not count else skips[0], end)
        total += len(data)
        if total > MAX_AUDIO_BYTES or len(data) > MAX_PACKET_BYTES or count == MAX_AUDIO_PACKETS:
            break
        put(AudioPacket(pts, dts, duration, bool(packet.is_keyframe), data))
        count += 1
        following = pts + duration
    if not count:
        return None
    return AudioTrack(
        codec=codec_name(stream),
        extradata=bytes(context.extradata or b""),
        sample_rate=context.sample_rate,
        layout=context.layout.name,
        time_base=(time_base.numerator, time_base.denominator),
        packets=(),
        skip_start=min(skips[0], _MAX_SKIP),
        skip_end=0 if cut else min(skips[1], _MAX_SKIP),
    )


def _fits(time: int) -> bool:
    return INT64_MIN <= time <= INT64_MAX


def _skips(packet: Any) -> tuple[int, int]:
    """Samples to drop at the start and the end of what a packet decodes to, as its demuxer says."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    data = bytes(packet.get_sidedata("skip_samples"))
    return struct.unpack_from("<II", data) if len(data) >= 8 else (0, 0)


def _readable(container: InputContainer, stream: Any) -> Iterator[Any]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.error.FFmpegError):
            return
        if packet.size and not packet.is_corrupt:
            yield packet


@contextmanager
def added_stream(output: OutputContainer, audio: AudioTrack) -> Iterator[Any]:
    """Add a stream for the track to an output. Raises UsageError if the container cannot hold it.

    PyAV adds a stream for ready-made packets only from the example of another stream, so a file with the
    track's description and no packets is made in memory to serve as one.
    """
    try:
        with av.open(io.BytesIO(_template(audio)), format="matroska") as template:
            stream = output.add_stream_from_template(template.streams.audio[0])
            context = stream.codec_context
            context.sample_rate = audio.sample_rate
            context.layout = audio.layout
            context.extradata = audio.extradata or None
            stream.time_base = Fraction(*audio.time_base)
            yield stream
    except (ValueError, IndexError) as error:
        raise UsageError(
            f"the sound ({audio.codec}) cannot be written: {str(error).lower()}",
            hint="choose an output that ends in .mkv",
        ) from None


def with_short_end(audio: AudioTrack) -> tuple[AudioPacket, ...]:
    """The packets, the last one shortened by what decoders drop of it: MP4 has no other way to say so.

    Where no packet has a duration, as of some codecs in Matroska, the last one is given that of the one before it:
    MP4 would end where it begins.
    """
    packets = audio.packets
    if len(packets) > 1 and not packets[-1].duration and not packets[-2].duration:
        packets = (*packets[:-1], replace(packets[-1], duration=max(0, packets[-1].pts - packets[-2].pts)))
    if not audio.skip_end or len(packets) < 2 or packets[-1].duration < packets[-2].duration:
        return packets  # nothing is dropped, or the duration says so already
    dropped = round(Fraction(audio.skip_end, audio.sample_rate) / Fraction(*audio.time_base))
    last = replace(packets[-1], duration=max(0, packets[-1].duration - dropped))
    return (*packets[:-1], last)


def packet_for(stream: Any, packet: AudioPacket, time_base: Fraction, shift: int, skip_end: int) -> av.Packet[Any]:
    """A PyAV packet for `stream`, its times moved by `shift` units. skip_end: samples to drop at its end."""
    made = av.Packet(packet.data)
    made.time_base = time_base
    made.pts = packet.pts + shift
    made.dts = packet.dts + shift
    made.duration = packet.duration
    made.is_keyframe = packet.key
    made.stream = stream
    if skip_end:
        make: Any = PacketSideData  # the stubs leave its arguments out
        dropped = make(packet_sidedata_type_from_literal("skip_samples"), 10)
        dropped.update(struct.pack("<IIBB", 0, skip_end, 0, 0))
        made.set_sidedata(dropped)
    return made


def _template(audio: AudioTrack) -> bytes:
    """A Matroska file (RFC 9559) with one sound track and no packets."""
    track = _number("D7", 1) + _number("73C5", 1) + _number("83", 2)  # number, UID, type: sound
    track += _element("86", _MATROSKA_ID[audio.codec].encode())
    if audio.extradata:
        track += _element("63A2", audio.extradata)
    # CodecDelay in ns: with it, the Matroska writer can store sound that starts before zero. Rounded up,
    # since FFmpeg turns it into samples again, rounding down.
    if audio.packets and audio.packets[0].pts < 0:
        track += _number("56AA", -(-audio.skip_start * 1_000_000_000 // audio.sample_rate))
    settings = _element("B5", struct.pack(">d", audio.sample_rate)) + _number("9F", _channels(audio.layout))
    bits = {"pcm_u8": 8, "pcm_s24be": 24, "pcm_s24le": 24, "pcm_f64le": 64}.get(audio.codec, 32)
    if audio.codec.startswith("pcm_"):
        settings += _number("6264", 16 if "16" in audio.codec else bits)
    track += _element("E1", settings)
    head = _number("4286", 1) + _number("42F7", 1) + _number("42F2", 4) + _number("42F3", 8)
    head += _element("4282", b"matroska") + _number("4287", 4) + _number("4285", 2)
    about = _number("2AD7B1", 1_000_000) + _element("4D80", b"-") + _element("5741", b"-")
    segment = _element("1549A966", about)
    segment += _element("1654AE6B", _element("AE", track))
    segment += _element("1F43B675", _number("E7", 0))  # one empty cluster: without it, FFmpeg sees the end first
    return _element("1A45DFA3", head) + _element("18538067", segment)


def _channels(layout: str) -> int:
    return int(av.AudioLayout(layout).nb_channels)


def _element(identifier: str, data: bytes) -> bytes:
    return bytes.fromhex(identifier) + (len(data) | 1 << 56).to_bytes(8, "big") + data


def _number(identifier: str, value: int) -> bytes:
    return _element(identifier, value.to_bytes(8, "big"))

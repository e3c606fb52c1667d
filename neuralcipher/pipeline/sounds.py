"""Sound of cut and joined videos: the packets stay as they are, only their times move."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from neuralcipher.errors import LimitError, UsageError
from neuralcipher.video.metadata import AudioPacket, AudioTrack
from neuralcipher.video.packing import INT64_MAX, INT64_MIN

_MAX_TERM = 2**31 - 1


@dataclass(frozen=True, slots=True)
class SoundPart:
    """What one bundle brings to a joined one.

    name: for messages. track: None if it has no sound. offset_s: how far its clock moves. begin_s: when its pictures
    begin, on the new clock. goes_on: whether it was cut off just there from the one before it.
    """

    name: str
    track: AudioTrack | None
    offset_s: Fraction
    begin_s: Fraction
    goes_on: bool


def common_unit(units: Sequence[tuple[int, int]], what: str) -> Fraction:
    """The longest time of which all units are multiples, in seconds. Raises LimitError if a bundle cannot hold it."""
    unit = Fraction(*units[0])
    for other in map(Fraction, (Fraction(*other) for other in units[1:])):
        lower = unit.denominator * other.denominator
        unit = Fraction(math.gcd(unit.numerator * other.denominator, other.numerator * unit.denominator), lower)
    if max(unit.numerator, unit.denominator) > _MAX_TERM:
        raise LimitError(
            f"the clocks of the {what} have no common unit that a bundle can hold", hint="open them and seal the result"
        )
    return unit


def checked_time(time: int) -> int:
    """The time, if it fits a bundle. Raises LimitError."""
    if not INT64_MIN <= time <= INT64_MAX:
        raise LimitError(
            "a time would leave the 64 bits that a bundle has for it", hint="open the bundle and seal the result"
        )
    return time


def cut_sound(track: AudioTrack, begin_s: Fraction | None, end_s: Fraction | None, shift_s: Fraction) -> AudioTrack:
    """The packets that begin within begin_s..end_s, moved back by shift_s to the nearest unit; perhaps none.

    None: from the first, up to the last. A cut lies before a packet with which decoding can start, so that cuts at
    the same times share all packets among them, each once.
    """
    first = 0 if begin_s is None else _first_from(track, begin_s)
    stop = len(track.packets) if end_s is None else _first_from(track, end_s)
    packets = track.packets[first:stop]
    return replace(
        track,
        packets=_moved(packets, -round(shift_s / Fraction(*track.time_base))),
        skip_start=track.skip_start if first == 0 else 0,
        skip_end=track.skip_end if stop == len(track.packets) else 0,
    )


def _first_from(track: AudioTrack, time_s: Fraction) -> int:
    time = time_s / Fraction(*track.time_base)
    return next(
        (number for number, packet in enumerate(track.packets) if packet.key and packet.pts >= time),
        len(track.packets),
    )


def _moved(packets: Sequence[AudioPacket], by: int) -> tuple[AudioPacket, ...]:
    return tuple(
        replace(packet, pts=checked_time(packet.pts + by), dts=checked_time(packet.dts + by)) for packet in packets
    )


def joined_sound(parts: Sequence[SoundPart]) -> tuple[AudioTrack | None, int]:
    """One track of all parts, and how many packets are left out; None if no part has sound.

    Where a part does not go on with the one before it, sound of that one ends with its pictures, and packets that
    would begin before it has ended are left out. Raises UsageError if the coding differs.
    """
    tracks = [(part, part.track) for part in parts if part.track is not None]
    if not tracks:
        return None, 0
    first = tracks[0][1]
    for part, track in tracks[1:]:
        _check_same(tracks[0][0].name, first, part.name, track)
    unit = common_unit([track.time_base for _, track in tracks], "sound")
    packets: list[AudioPacket] = []
    left_out = 0
    for part in parts:
        begin = part.begin_s / unit
        if not part.goes_on:
            while packets and packets[-1].pts >= begin:
                packets.pop()
                left_out += 1
        if part.track is None:
            continue
        new = _on_clock(part.track, unit, part.offset_s)
        ready = packets[-1].pts + packets[-1].duration if packets and not part.goes_on else None
        kept = next((n for n, packet in enumerate(new) if ready is None or _can_begin(packet, ready)), len(new))
        left_out += kept
        packets += new[kept:]
    filled = [track for _, track in tracks if track.packets]
    return replace(
        first,
        time_base=(unit.numerator, unit.denominator),
        packets=tuple(packets),
        skip_start=(filled or [first])[0].skip_start,
        skip_end=(filled or [first])[-1].skip_end,
    ), left_out


def _can_begin(packet: AudioPacket, ready: int) -> bool:
    return packet.key and packet.pts >= ready


def _on_clock(track: AudioTrack, unit: Fraction, offset_s: Fraction) -> tuple[AudioPacket, ...]:
    """The packets in another unit, which divides theirs, on the new clock."""
    factor = int(Fraction(*track.time_base) / unit)
    # Rounded in the track's own unit, as the cut was: so that what was cut comes back exactly.
    by = round(offset_s / Fraction(*track.time_base))
    packets = _moved(track.packets, by) if by else track.packets
    if factor == 1:
        return packets
    return tuple(
        replace(
            packet,
            pts=checked_time(packet.pts * factor),
            dts=checked_time(packet.dts * factor),
            duration=checked_time(packet.duration * factor),
        )
        for packet in packets
    )


def _check_same(name: str, first: AudioTrack, other_name: str, other: AudioTrack) -> None:
    facts = {
        "codec": (first.codec, other.codec),
        "sampling": (f"{first.sample_rate} Hz", f"{other.sample_rate} Hz"),
        "channels": (first.layout, other.layout),
    }
    different = [f"{what} ({one} and {two})" for what, (one, two) in facts.items() if one != two]
    if not different and first.extradata != other.extradata:
        different = ["settings of the coder"]
    if different:
        raise UsageError(
            f"the sound of {name} and of {other_name} differs in {', '.join(different)}",
            hint="pass --no-sound to join the pictures alone, or bring the videos to one coding before sealing",
        )

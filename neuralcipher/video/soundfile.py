"""Sound files without pictures: the packets as they are, in the container that a name asks for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from fractions import Fraction
from pathlib import Path

import av
import av.error

from neuralcipher.errors import UsageError
from neuralcipher.video.metadata import AudioTrack
from neuralcipher.video.tracks import added_stream, packet_for, with_short_end
from neuralcipher.video.writing import write_errors

_PCM = frozenset({"pcm_f32le", "pcm_f64le", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_u8"})
# Suffix -> FFmpeg's muxer, and the codecs that it writes and players expect there; None: all that a bundle can hold.
_FORMATS: Mapping[str, tuple[str, frozenset[str] | None]] = {
    ".aac": ("adts", frozenset({"aac"})),
    ".ac3": ("ac3", frozenset({"ac3"})),
    ".flac": ("flac", frozenset({"flac"})),
    ".m4a": ("ipod", frozenset({"aac", "ac3", "alac"})),
    ".mka": ("matroska", None),
    ".mp2": ("mp2", frozenset({"mp2"})),
    ".mp3": ("mp3", frozenset({"mp3"})),
    ".oga": ("ogg", frozenset({"flac", "opus", "vorbis"})),
    ".ogg": ("ogg", frozenset({"flac", "opus", "vorbis"})),
    ".opus": ("opus", frozenset({"opus"})),
    ".wav": ("wav", _PCM),
}
_USUAL = {"aac": ".m4a", "alac": ".m4a", "vorbis": ".ogg", "opus": ".opus"}


def usual_suffix(audio: AudioTrack) -> str:
    """The suffix under which people look for sound of this codec."""
    own = f".{audio.codec}" if f".{audio.codec}" in _FORMATS and audio.codec != "aac" else ".mka"
    return _USUAL.get(audio.codec, ".wav" if audio.codec in _PCM else own)


def check_sound_name(path: Path) -> None:
    """Raise UsageError unless the name ends like a sound file that can be written."""
    if path.suffix.lower() not in _FORMATS:
        what = f"as {path.suffix}" if path.suffix else "under a name without a suffix"
        raise UsageError(f"sound cannot be written {what}", hint=f"end the name in {_listed(_FORMATS)}")


def check_holds(audio: AudioTrack, path: Path) -> None:
    """Raise UsageError, naming those that can, if the container that the name asks for cannot hold the sound."""
    check_sound_name(path)
    if not _holds(path.suffix.lower(), audio.codec):
        able = [suffix for suffix in _FORMATS if _holds(suffix, audio.codec)]
        raise UsageError(
            f"the sound is {audio.codec}, which a {path.suffix} file cannot hold",
            hint=f"end the name in {_listed(able)}",
        )


def _holds(suffix: str, codec: str) -> bool:
    codecs = _FORMATS[suffix][1]
    return codecs is None or codec in codecs


def _listed(suffixes: Mapping[str, object] | list[str]) -> str:
    *others, last = sorted(suffixes)
    return f"{', '.join(others)} or {last}" if others else last


def write_sound(path: Path, audio: AudioTrack) -> None:
    """Write the sound to a (temporary) path, in the container that its suffix asks for, without decoding it.

    Times are those of the video; containers without a clock (.aac, .mp3, .wav ...) begin with the first packet. Raises
    UsageError if the container cannot hold it, WriteError.
    """
    check_holds(audio, path)
    muxer = _FORMATS[path.suffix.lower()][0]
    options = {"movflags": "+faststart", "movie_timescale": str(audio.sample_rate)} if muxer == "ipod" else {}
    packets = with_short_end(audio) if muxer == "ipod" else audio.packets
    unit = Fraction(*audio.time_base)
    with write_errors(path.name):
        output = av.open("file:" + os.path.abspath(path), "w", format=muxer, container_options=options)
    try:
        with write_errors(path.name), ExitStack() as stack:
            stream = stack.enter_context(added_stream(output, audio))
            for number, packet in enumerate(packets):
                skip_end = audio.skip_end if number == len(packets) - 1 else 0
                output.mux(packet_for(stream, packet, unit, 0, skip_end))
            output.close()
    except BaseException:
        # The first error is the one to tell; closing a broken output may fail again.
        with suppress(av.error.FFmpegError, OSError, ValueError):
            output.close()
        raise

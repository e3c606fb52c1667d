"""Opening: bundle and key in, video out, in memory that does not grow with the video."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import torch

from neuralcipher.container import BundleReader
from neuralcipher.files import check_output, output_folder, output_path
from neuralcipher.flows.ahead import ahead
from neuralcipher.flows.device import resolve_device
from neuralcipher.keys import Credential
from neuralcipher.pipeline.options import OpenReport, Progress, ProgressCallback, silent
from neuralcipher.pipeline.parts import Part, Piece, part_of, pieces_of, sound_of, whole
from neuralcipher.pipeline.segments import Picture, render_segment
from neuralcipher.pipeline.stored import stored_audio, stored_segments, stored_video
from neuralcipher.video.metadata import AudioTrack, VideoInfo
from neuralcipher.video.tracks import check_fits, container_for
from neuralcipher.video.writing import format_for, write_video, write_y4m


def open_bundle(
    bundle: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    keys: Sequence[Credential],
    part: Part = whole,
    device: str = "auto",
    force: bool = False,
    progress: ProgressCallback = silent,
) -> OpenReport:
    """Open a bundle into a video file or a folder of PNG.

    output: .mp4, .mkv, .y4m, or a folder (no suffix, or a trailing slash); by default the bundle's name with .mp4,
    or .mkv if the sound does not fit into MP4. Appears complete or not at all. part: which frames, all by default;
    only the chunks that they need are decrypted, and only their groups rendered; sound is cut between its packets.
    Raises WrongKeyError, BundleError, OutputExistsError and the other NeuralCipherErrors.
    """
    started = time.monotonic()
    path = Path(bundle)
    with _unlocked(path, keys) as reader:
        info, audio, pieces = _parts(reader, part)
        target = path.with_suffix(f".{container_for(audio)}") if output is None else Path(output)
        kind = format_for(target if output is None else output)
        check_output(target, force=force, inputs=[path], folder=kind == "png")
        if kind in ("mp4", "mkv"):
            check_fits(audio, kind)
        pictures = _pictures(reader, pieces, resolve_device(device), progress)
        if kind == "png":
            with output_folder(target, force=force) as folder:
                write_video(folder, info, pictures, format=kind)
        else:
            with output_path(target, force=force) as temporary:
                write_video(temporary, info, pictures, _sound_for(kind, audio), format=kind)
    return OpenReport(str(target), info.frames, round(time.monotonic() - started, 3))


def open_stream(
    bundle: str | os.PathLike[str],
    stream: BinaryIO,
    *,
    keys: Sequence[Credential],
    part: Part = whole,
    device: str = "auto",
    progress: ProgressCallback = silent,
) -> OpenReport:
    """Open a bundle, or a part of it, as YUV4MPEG2 onto a binary stream, such as stdout: see `write_y4m`. No sound."""
    started = time.monotonic()
    with _unlocked(Path(bundle), keys) as reader:
        info, _, pieces = _parts(reader, part, sound=False)
        write_y4m(stream, info, _pictures(reader, pieces, resolve_device(device), progress))
    return OpenReport("-", info.frames, round(time.monotonic() - started, 3))


def _unlocked(path: Path, keys: Sequence[Credential]) -> BundleReader:
    reader = BundleReader.open(path)
    try:
        reader.unlock(keys)
    except BaseException:
        reader.close()
        raise
    return reader


def _sound_for(kind: str, audio: AudioTrack | None) -> AudioTrack | None:
    return None if kind == "y4m" else audio


def _parts(reader: BundleReader, part: Part, *, sound: bool = True) -> tuple[VideoInfo, AudioTrack | None, list[Piece]]:
    """The description of a part of the video, its sound, and the pieces of segments that it is made of."""
    info = stored_video(reader)
    segments = stored_segments(reader, info)
    frames = part(info, segments)
    shown = part_of(info, frames)
    audio = stored_audio(reader) if sound else None
    return shown, None if audio is None else sound_of(audio, info, shown), pieces_of(segments, frames)


def _pictures(
    reader: BundleReader, pieces: Sequence[Piece], device: torch.device, progress: ProgressCallback
) -> Iterator[Picture]:
    pictures = (
        picture for segment, start, stop in pieces for picture in render_segment(reader, segment, device, start, stop)
    )
    count = sum(stop - start for _, start, stop in pieces)
    for done, picture in enumerate(ahead(pictures), start=1):
        progress(Progress("writing", done / count))
        yield picture

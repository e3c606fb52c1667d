"""Videos whose header lies about their length, and files that grow while they are read: a sentence, and no mixture."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.container import BundleReader
from neuralcipher.errors import UsageError, VideoError
from neuralcipher.pipeline import sealing
from neuralcipher.pipeline.opening import open_bundle
from neuralcipher.pipeline.options import SealReport
from neuralcipher.pipeline.parts import frames_part
from neuralcipher.pipeline.stored import stored_audio, stored_video
from neuralcipher.video.reading import Probe

KEY = Key(bytes(range(32)))
FAST: dict[str, Any] = {"scale": "32x-1", "flow": "mlp", "flow_options": {"steps": 0}, "generator": "chacha20"}


def stream(path: Path, frames: int = 30) -> Path:
    """Noise with sound; as .ts, what a recorder writes, it can be read while it grows."""
    with av.open(str(path), "w") as output:
        video, voice = output.add_stream("libx264", rate=25), output.add_stream("aac", rate=48000, layout="stereo")
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3), dtype=np.uint8)
            output.mux(video.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 1920), np.int16), format="s16", layout="stereo")
            sound.sample_rate, sound.pts, sound.time_base = 48000, 1920 * number, Fraction(1, 48000)
            output.mux(voice.encode(sound))
        output.mux(video.encode(None))
        output.mux(voice.encode(None))
    return path


def seal(source: Path, target: Path, **options: Any) -> tuple[SealReport, list[str]]:
    told: list[str] = []
    report = neuralcipher.seal(source, target, keys=[KEY], options=SealOptions(**(FAST | options)), tell=told.append)
    return report, told


def lengths_s(bundle: Path) -> tuple[Fraction, Fraction]:
    """When pictures and sound end."""
    with BundleReader.open(bundle) as reader:
        reader.unlock([KEY])
        info, audio = stored_video(reader), stored_audio(reader)
    assert audio is not None
    return info.end_time, max(packet.pts for packet in audio.packets) * Fraction(*audio.time_base)


def test_a_source_that_grows_is_sealed_as_it_was_at_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stream(tmp_path / "whole.ts").read_bytes()
    growing = tmp_path / "growing.ts"
    growing.write_bytes(whole[: len(whole) // 2])
    probe = sealing.probe

    def grow_after(*arguments: Any, **options: Any) -> Probe:
        found = probe(*arguments, **options)
        growing.write_bytes(whole)
        return found

    monkeypatch.setattr(sealing, "probe", grow_after)
    report, told = seal(growing, tmp_path / "g.ncv")
    assert 5 < report.frames < 25
    sentence = (
        f"growing.ts changed while it was read: what is sealed are the {report.frames} frames that it had at first, "
        "and sound of that length"
    )
    assert told.count(sentence) == 1
    assert sentence in report.warnings
    pictures_s, sound_s = lengths_s(tmp_path / "g.ncv")
    assert sound_s < pictures_s
    monkeypatch.undo()
    report, told = seal(growing, tmp_path / "h.ncv")
    assert report.frames == 30
    assert not any("changed" in sentence for sentence in told)


def test_a_source_that_shrinks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = stream(tmp_path / "whole.ts").read_bytes()
    shrinking = tmp_path / "shrinking.ts"
    shrinking.write_bytes(whole)
    probe = sealing.probe

    def shrink_after(*arguments: Any, **options: Any) -> Probe:
        found = probe(*arguments, **options)
        shrinking.write_bytes(whole[: len(whole) // 2])
        return found

    monkeypatch.setattr(sealing, "probe", shrink_after)
    with pytest.raises(VideoError, match=r"shrinking.ts has \d+ frames now but had 30"):
        seal(shrinking, tmp_path / "s.ncv")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["shrinking.ts", "whole.ts"]


def mp4(path: Path, factor: float) -> None:
    """Another length in mvhd, tkhd and mdhd."""
    data = bytearray(stream(path, 12).read_bytes())
    for kind, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        at = -1
        while (at := data.find(kind, at + 1)) >= 0:
            place = slice(at + 4 + offset, at + 8 + offset)
            data[place] = min(int(int.from_bytes(data[place], "big") * factor), 2**31 - 1).to_bytes(4, "big")
    path.write_bytes(data)


def mkv(path: Path, factor: float) -> None:
    """Another Duration (RFC 9559: 0x4489, a float of 8 bytes)."""
    data = bytearray(stream(path, 12).read_bytes())
    at = data.index(b"\x44\x89\x88") + 3
    data[at : at + 8] = struct.pack(">d", struct.unpack(">d", data[at : at + 8])[0] * factor)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "factor", "warned"),
    [
        (mp4, 0, False),
        (mp4, 0.5, False),
        (mp4, 1000, False),  # FFmpeg counts the table of samples instead
        (mkv, 0.5, False),
        (mkv, 6, True),
        (mkv, 1e9, True),
    ],
)
def test_a_header_that_lies_about_the_length_changes_nothing_but_a_warning(
    tmp_path: Path, make: Callable[[Path, float], None], factor: float, warned: bool
) -> None:
    """The frames that are there are sealed."""
    path = tmp_path / f"lying.{make.__name__}"
    make(path, factor)
    report, _ = seal(path, tmp_path / "l.ncv")
    assert report.frames == 12
    assert [warning.startswith(f"{path.name} is cut off: ") for warning in report.warnings] == [True] * warned
    if warned:
        with pytest.raises(VideoError, match=f"{path.name} is cut off"):
            seal(path, tmp_path / "m.ncv", strict=True)
    assert open_bundle(tmp_path / "l.ncv", tmp_path / "l.mp4", keys=[KEY]).frames == 12


@pytest.fixture(scope="module")
def thirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("thirty")
    seal(stream(folder / "v.ts"), folder / "v.ncv")
    return folder / "v.ncv"


@pytest.mark.parametrize("text", ["30:40", "0:31", "29:29", "1000000:", "7:3"])
def test_frames_outside_the_video_are_refused_before_anything_is_written(
    thirty: Path, tmp_path: Path, text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        open_bundle(thirty, tmp_path / "o.mp4", keys=[KEY], part=frames_part(text))
    assert "in a video of 30" in caught.value.message
    assert "B at most 30" in caught.value.hint
    assert list(tmp_path.iterdir()) == []

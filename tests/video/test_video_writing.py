"""What is written reads back: pictures nearly, timestamps and sound exactly; failures are ours."""

from __future__ import annotations

import dataclasses
import io
import resource
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from video_clips import encode, picture

from neuralcipher.errors import CancelledError, ShapeError, UsageError, WriteError
from neuralcipher.video.metadata import AudioTrack, VideoInfo
from neuralcipher.video.quality import psnr_db
from neuralcipher.video.reading import probe, read_audio, read_frames
from neuralcipher.video.writing import container_for, format_for, write_video, write_y4m

INFO12 = VideoInfo(
    width=64,
    height=48,
    time_base=(1, 25),
    pts=tuple(range(12)),
    average_rate=(25, 1),
    sample_aspect=(1, 1),
    primaries=2,
    transfer=2,
    space=6,
    color_range=1,
    pixel_family="444",
    source_name="a.mp4",
    source_bytes=1,
)
PICTURES = [picture(number) for number in range(12)]


def times_of(info: VideoInfo) -> list[Fraction]:
    return [time * Fraction(*info.time_base) for time in info.pts]


def sound_times(track: AudioTrack) -> list[tuple[Fraction, Fraction, Fraction]]:
    unit = Fraction(*track.time_base)
    return [(packet.pts * unit, packet.dts * unit, packet.duration * unit) for packet in track.packets]


def test_the_real_clip_survives_mp4(bunny: Path, tmp_path: Path) -> None:
    probed, sound = probe(bunny), read_audio(bunny)
    assert sound is not None
    target = tmp_path / "out.tmp"
    write_video(target, probed.info, read_frames(bunny, probed), sound, format="mp4")
    again = probe(target, strict=True)
    heard = read_audio(target)
    assert heard is not None
    assert times_of(again.info) == times_of(probed.info)
    assert [packet.data for packet in heard.packets] == [packet.data for packet in sound.packets]
    assert sound_times(heard) == sound_times(sound)
    assert (heard.codec, heard.extradata, heard.layout, heard.sample_rate) == (
        sound.codec,
        sound.extradata,
        sound.layout,
        sound.sample_rate,
    )
    same = (
        "width",
        "height",
        "average_rate",
        "sample_aspect",
        "primaries",
        "transfer",
        "space",
        "color_range",
    )
    assert [getattr(again.info, name) for name in same] == [getattr(probed.info, name) for name in same]
    assert again.info.pixel_family == "420"
    assert psnr_db(read_frames(bunny, probed), read_frames(target, again)) > 40
    with av.open(str(target)) as container:  # the sound that players hear is the source's
        decoded = sum(frame.samples for frame in container.decode(audio=0))
    assert decoded == len(sound.packets) * 1024


def test_little_is_lost_at_40_db(bunny: Path, tmp_path: Path) -> None:
    probed = probe(bunny, max_frames=20)
    truth = list(read_frames(bunny, probed))
    random = np.random.default_rng(0)
    noisy = [np.clip(np.rint(frame + random.normal(0, 2.55, frame.shape)), 0, 255).astype(np.uint8) for frame in truth]
    before = psnr_db(truth, noisy)
    assert before == pytest.approx(40, abs=0.2)
    write_video(tmp_path / "a", probed.info, noisy, format="mp4")
    assert psnr_db(truth, read_frames(tmp_path / "a", probe(tmp_path / "a"))) > before - 0.3


@pytest.mark.parametrize("space", [1, 5, 6, 7, 9])
@pytest.mark.parametrize("full", [1, 2])
def test_colours_come_back_by_the_matrix_that_is_tagged(tmp_path: Path, space: int, full: int) -> None:
    info = dataclasses.replace(INFO12, space=space, color_range=full)
    write_video(tmp_path / "a", info, PICTURES, format="mkv", crf=0)
    probed = probe(tmp_path / "a")
    assert (probed.info.space, probed.info.color_range) == (space, full)
    frames = np.stack(list(read_frames(tmp_path / "a", probed)))
    assert np.abs(frames.astype(int) - np.stack(PICTURES)).max() <= 3


@pytest.mark.parametrize("format", ["mp4", "mkv"])
@pytest.mark.parametrize(
    ("time_base", "pts"),
    [
        ((1, 1000), (0, 33, 67, 100, 400, 401, 402, 900, 1000, 1100, 1200, 5000)),
        ((1, 1000), (40, 80, 120, 160, 200, 240, 280, 320, 360, 400, 440, 480)),
        ((1001, 30000), tuple(range(12))),
        ((1, 90000), (3003, 6006, 9009, 12012, 15015, 18018, 21021, 24024, 27027, 30030, 33033, 99999)),
    ],
)
def test_timestamps_are_exact(tmp_path: Path, format: str, time_base: tuple[int, int], pts: tuple[int, ...]) -> None:
    info = dataclasses.replace(INFO12, time_base=time_base, pts=pts, average_rate=(30000, 1001))
    write_video(tmp_path / "a", info, PICTURES, format=format)
    got, wanted = times_of(probe(tmp_path / "a").info), times_of(info)
    if format == "mkv":  # counts milliseconds
        assert max(abs(a - b) for a, b in zip(got, wanted, strict=True)) <= Fraction(1, 2000)
    else:
        assert got == wanted


def test_a_negative_start_moves_everything_to_zero(tmp_path: Path) -> None:
    info = dataclasses.replace(INFO12, pts=tuple(range(-5, 7)))
    write_video(tmp_path / "a", info, PICTURES, format="mp4")
    assert times_of(probe(tmp_path / "a").info) == [Fraction(number, 25) for number in range(12)]


SOUNDS = [
    ("aac", "mp4"),
    ("libopus", "mp4"),
    ("libmp3lame", "mp4"),
    ("flac", "mp4"),
    ("ac3", "mp4"),
    ("alac", "mp4"),
]
MKV_SOUNDS = [
    *((codec, "mkv") for codec, _ in SOUNDS),
    ("pcm_s16le", "mkv"),
    ("pcm_s24le", "mkv"),
]


@pytest.mark.parametrize(("codec", "format"), [*SOUNDS, *MKV_SOUNDS])
def test_sound_packets_are_carried_unchanged(clips: Path, tmp_path: Path, codec: str, format: str) -> None:
    source = clips / f"{codec}.{format}"
    if not source.exists():
        encode(source, frames=25, sound=codec)
    probed, sound = probe(source), read_audio(source)
    assert sound is not None
    assert container_for(sound) == ("mkv" if codec.startswith("pcm") else "mp4")
    track = AudioTrack.from_bytes(sound.to_bytes())
    target = tmp_path / "out"
    write_video(target, probed.info, read_frames(source, probed), track, format=format)
    heard = read_audio(target)
    assert heard is not None
    assert [packet.data for packet in heard.packets] == [packet.data for packet in sound.packets]
    starts = [(a[0], b[0]) for a, b in zip(sound_times(heard), sound_times(sound), strict=True)]
    assert max(abs(a - b) for a, b in starts) <= (Fraction(0) if format == "mp4" else Fraction(1, 1000))
    assert heard.extradata == sound.extradata
    assert (heard.sample_rate, heard.layout, heard.codec) == (sound.sample_rate, sound.layout, sound.codec)
    assert pcm(target) == pcm(source)


def pcm(path: Path) -> bytes:
    """The decoded sound: what a listener hears must not change either."""
    with av.open(str(path)) as container:
        return b"".join(frame.to_ndarray().tobytes() for frame in container.decode(audio=0))


def test_sound_with_priming_keeps_its_negative_start(clips: Path, tmp_path: Path) -> None:
    source = encode(clips / "priming.mp4", frames=25, sound="aac")
    probed, sound = probe(source), read_audio(source)
    assert sound is not None
    assert sound.packets[0].pts == -1024
    write_video(tmp_path / "a", probed.info, read_frames(source, probed), sound, format="mp4")
    heard = read_audio(tmp_path / "a")
    assert heard is not None
    assert sound_times(heard) == sound_times(sound)
    assert times_of(probe(tmp_path / "a").info) == times_of(probed.info)


def test_sound_and_pictures_are_interleaved(clips: Path, tmp_path: Path) -> None:
    # 16 seconds: FFmpeg itself waits 10 for a late stream
    source = encode(clips / "interleave.mp4", frames=400, sound="aac")
    probed, sound = probe(source), read_audio(source)
    write_video(tmp_path / "a", probed.info, read_frames(source, probed), sound, format="mp4")
    with av.open(str(tmp_path / "a")) as container:
        positions = sorted((packet.pos, packet.stream.type, packet.dts * packet.time_base)
                           for packet in container.demux() if packet.size)  # fmt: skip
    clock = {"video": Fraction(0), "audio": Fraction(0)}
    for _, kind, time in positions:
        clock[kind] = time
        assert abs(clock["video"] - clock["audio"]) < Fraction(1, 5)


def test_transport_streams_start_at_zero_with_their_sound(clips: Path, tmp_path: Path) -> None:
    source = encode(clips / "b.ts", frames=25, sound="aac")
    probed, sound = probe(source), read_audio(source)
    assert sound is not None
    assert probed.info.pts[0] * Fraction(*probed.info.time_base) < Fraction(1, 10)
    assert abs(sound.packets[0].pts * Fraction(*sound.time_base)) < Fraction(1, 10)
    write_video(tmp_path / "a", probed.info, read_frames(source, probed), sound, format="mp4")
    assert len(pcm(tmp_path / "a")) > 0


def test_sound_that_mp4_cannot_hold_says_to_choose_mkv(clips: Path, tmp_path: Path) -> None:
    source = encode(clips / "pcm.mkv", sound="pcm_s16le")
    with pytest.raises(UsageError, match="pcm_s16le, which MP4 cannot hold") as raised:
        write_video(tmp_path / "a", probe(source).info, [], read_audio(source), format="mp4")
    assert ".mkv" in raised.value.hint


def test_odd_sizes_are_written_as_444(tmp_path: Path) -> None:
    info = dataclasses.replace(INFO12, width=33, height=17, pixel_family="420")
    write_video(tmp_path / "a", info, [picture(number, 33, 17) for number in range(12)], format="mp4")
    again = probe(tmp_path / "a").info
    assert (again.width, again.height, again.pixel_family) == (33, 17, "444")


def test_pixel_aspect_survives(tmp_path: Path) -> None:
    for format in ("mp4", "mkv", "y4m"):
        info = dataclasses.replace(INFO12, sample_aspect=(4, 3))
        write_video(tmp_path / format, info, PICTURES, format=format)
        assert probe(tmp_path / format).info.sample_aspect == (4, 3)


def test_y4m_by_the_specification() -> None:
    stream = io.BytesIO()
    write_y4m(stream, INFO12, PICTURES)
    header, _, rest = stream.getvalue().partition(b"\n")
    assert header == b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C444 XCOLORRANGE=LIMITED"
    assert len(rest) == 12 * (6 + 3 * 64 * 48)
    assert rest.startswith(b"FRAME\n")
    y, u, v = np.frombuffer(rest, np.uint8, 3 * 64 * 48, 6).reshape(3, 48, 64).astype(float)
    r, g, b = PICTURES[0].astype(float).transpose(2, 0, 1)
    luma = 0.299 * r + 0.587 * g + 0.114 * b  # BT.601, limited
    assert np.abs(y - (16 + luma * 219 / 255)).max() <= 1
    assert np.abs(u - (128 + (b - luma) / 1.772 * 224 / 255)).max() <= 1
    assert np.abs(v - (128 + (r - luma) / 1.402 * 224 / 255)).max() <= 1


def test_y4m_reads_back(tmp_path: Path) -> None:
    write_video(tmp_path / "a.y4m", INFO12, PICTURES, format="y4m")
    probed = probe(tmp_path / "a.y4m", strict=True)
    frames = np.stack(list(read_frames(tmp_path / "a.y4m", probed)))
    assert np.abs(frames.astype(int) - np.stack(PICTURES)).max() <= 3


def test_png_is_lossless(tmp_path: Path) -> None:
    write_video(tmp_path / "out", INFO12, PICTURES, format="png")
    assert sorted(path.name for path in (tmp_path / "out").iterdir())[:2] == [
        "frame_000001.png",
        "frame_000002.png",
    ]
    probed = probe(tmp_path / "out")
    assert (np.stack(list(read_frames(tmp_path / "out", probed))) == np.stack(PICTURES)).all()


def test_formats_by_name(tmp_path: Path) -> None:
    names = ["a.mp4", "a.MKV", "a.y4m", "folder/", str(tmp_path)]
    assert [format_for(name) for name in names] == ["mp4", "mkv", "y4m", "png", "png"]
    for name in ("a.avi", "a", "a.mp4.tmp"):
        with pytest.raises(UsageError) as raised:
            format_for(name)
        assert ".mkv" in raised.value.hint
    with pytest.raises(UsageError, match="no output format"):
        write_video(tmp_path / "a", INFO12, PICTURES, format="avi")


@pytest.mark.parametrize("format", ["mp4", "mkv", "y4m", "png"])
def test_frames_that_do_not_fit_are_refused(tmp_path: Path, format: str) -> None:
    for frames in (
        PICTURES[:5],
        [*PICTURES, PICTURES[0]],
        [picture(0, 32, 32)],
        [PICTURES[0].astype(np.int16)],
    ):
        with pytest.raises(ShapeError):
            write_video(tmp_path / "a", INFO12, frames, format=format)


def test_an_error_in_the_frames_passes_through(tmp_path: Path) -> None:
    def stopping() -> Iterator[Any]:
        yield from PICTURES[:3]
        raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        write_video(tmp_path / "a", INFO12, stopping(), format="mp4")


@pytest.mark.parametrize("format", ["mp4", "mkv", "y4m", "png"])
def test_a_missing_folder_is_a_write_error(tmp_path: Path, format: str) -> None:
    with pytest.raises(WriteError):
        write_video(tmp_path / "absent" / "a", INFO12, PICTURES, format=format)


@pytest.mark.parametrize("format", ["mp4", "mkv", "y4m", "png"])
def test_a_full_disk_is_a_write_error(tmp_path: Path, format: str, bunny: Path) -> None:
    code = (
        "import resource, sys\n"
        "from neuralcipher.errors import WriteError\n"
        "from neuralcipher.video.reading import probe, read_frames\n"
        "from neuralcipher.video.writing import write_video\n"
        "p = probe(sys.argv[1])\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))\n"
        "try: write_video(sys.argv[2], p.info, read_frames(sys.argv[1], p), format=sys.argv[3])\n"
        "except WriteError as error: print(error.message); sys.exit(7)\n"
    )
    arguments = [sys.executable, "-c", code, str(bunny), str(tmp_path / "out"), format]
    ran = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ran.returncode == 7, ran.stderr
    assert "out could not be written: the disk is full" in ran.stdout
    assert ran.stderr == ""


def test_memory_does_not_grow_with_the_number_of_frames(tmp_path: Path) -> None:
    info = dataclasses.replace(INFO12, pts=tuple(range(3000)), pixel_family="420")
    frames = (picture(number % 50) for number in range(3000))
    few = dataclasses.replace(info, pts=tuple(range(300)))
    write_video(tmp_path / "few", few, (picture(number % 50) for number in range(300)), format="mp4")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_video(tmp_path / "many", info, frames, format="mp4")
    probed = probe(tmp_path / "many")
    assert sum(1 for _ in read_frames(tmp_path / "many", probed)) == 3000
    # 3000 pictures of this size hold 27 MB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 12_000

"""Every kind of input the tool accepts, what its frames must look like, and every bad input's sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from video_clips import Picture, encode, picture, sing

from neuralcipher.errors import NeuralCipherError, UsageError, VideoError
from neuralcipher.video.reading import parse_size, probe, read_audio, read_frames

LOSSLESS = {"crf": "0"}
# The thread pools of x265 hang once in many runs, and a hang in C is out of reach of a time limit.
ONE_THREAD = "log-level=none:pools=none:frame-threads=1"


def frames_of(path: Path, **options: Any) -> tuple[Any, np.ndarray]:
    probed = probe(path, **options)
    return probed, np.stack(list(read_frames(path, probed)))


def error_of(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean(np.abs(a.astype(int) - b.astype(int))))


KINDS = {
    "h264.mp4": ("libx264", "yuv420p", LOSSLESS, "420"),
    "h264-444.mp4": ("libx264", "yuv444p", LOSSLESS, "444"),
    "h264-422.mkv": ("libx264", "yuv422p", LOSSLESS, "422"),
    "ffv1-grey.mkv": ("ffv1", "gray", {}, "grey"),
    "h264-10bit.mp4": ("libx264", "yuv420p10le", LOSSLESS, "420"),
    "hevc.mp4": ("libx265", "yuv420p", {"x265-params": f"lossless=1:{ONE_THREAD}"}, "420"),
    "vp9.webm": ("libvpx-vp9", "yuv420p", {"lossless": "1"}, "420"),
    "av1.mkv": ("libsvtav1", "yuv420p", {"crf": "10", "svtav1-params": "lp=1"}, "420"),
    "mjpeg.avi": ("mjpeg", "yuvj420p", {"qmin": "1", "qmax": "1"}, "420"),
    "ffv1-rgb.mkv": ("ffv1", "bgr0", {}, "444"),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_codec_and_sampling_comes_out_as_the_picture_that_went_in(name: str, clips: Path) -> None:
    codec, pix_fmt, options, family = KINDS[name]
    size = (128, 96) if codec == "libsvtav1" else (64, 48)
    path = encode(clips / name, codec, pix_fmt, options=options, size=size)
    probed, frames = frames_of(path)
    assert probed.info.pixel_family == family
    assert frames.shape == (12, size[1], size[0], 3)
    assert frames.dtype == np.uint8
    expected = np.stack([picture(number, *size) for number in range(12)])
    if family == "grey":
        luma = expected @ np.array([0.299, 0.587, 0.114])
        assert error_of(frames, np.repeat(luma[..., None], 3, axis=3)) < 2
        assert (frames[..., 0] == frames[..., 2]).all()
    else:
        assert error_of(frames, expected) < 3.5
    assert [time * Fraction(*probed.info.time_base) * 25 for time in probed.info.pts] == list(range(12))
    assert ("10 bits" in " ".join(probed.warnings)) == (pix_fmt == "yuv420p10le")


def test_h264_without_colour(clips: Path) -> None:
    # FFmpeg's decoder gives 4:2:0 with flat chroma for it
    _, frames = frames_of(encode(clips / "h264-grey.mp4", pix_fmt="gray", options=LOSSLESS))
    assert np.abs(np.diff(frames.astype(int), axis=3)).max() <= 1


def test_limited_grey_is_spread(clips: Path) -> None:
    path = clips / "limited-grey.mkv"
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "gray"
        stream.codec_context.color_range = 1
        frame = av.VideoFrame.from_ndarray(np.full((32, 32), 126, np.uint8), format="gray")
        frame.color_range = 1
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    _, frames = frames_of(path)
    assert (frames == 128).all()  # (126 - 16) * 255 / 219 = 128.08


def test_gif(clips: Path) -> None:
    path = encode(clips / "a.gif", "gif", "rgb8")
    probed, frames = frames_of(path)
    assert frames.shape == (12, 48, 64, 3)
    assert error_of(frames[0], picture(0)) < 25  # 3-3-2 bits of colour
    assert probed.info.pixel_family == "444"
    assert probed.warnings == ()


def test_odd_sizes(clips: Path) -> None:
    path = encode(clips / "odd.mkv", "libx264", "yuv444p", size=(33, 17), options=LOSSLESS)
    probed, frames = frames_of(path)
    assert (probed.info.width, probed.info.height) == (33, 17)
    assert error_of(frames, np.stack([picture(number, 33, 17) for number in range(12)])) < 1.5


# matrix, full range -> Kr, Kb (ITU-T H.273, table 4)
@pytest.mark.parametrize(
    ("matrix", "full", "kr", "kb"),
    [
        (1, False, 0.2126, 0.0722),
        (6, False, 0.299, 0.114),
        (5, True, 0.299, 0.114),
        (9, False, 0.2627, 0.0593),
    ],
)
def test_colour_follows_the_tags(clips: Path, matrix: int, full: bool, kr: float, kb: float) -> None:
    path = clips / f"matrix{matrix}{full}.mkv"
    y, u, v = 120, 100, 160
    with av.open(str(path), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25, options=LOSSLESS)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv444p"
        stream.codec_context.colorspace = matrix
        stream.codec_context.color_range = 2 if full else 1
        planes = np.stack([np.full((32, 32), value, np.uint8) for value in (y, u, v)])
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
        frame.pts = 0
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    luma, blue, red = float(y), float(u - 128), float(v - 128)
    if not full:
        luma, blue, red = (luma - 16) * 255 / 219, blue * 255 / 224, red * 255 / 224
    r, b = luma + 2 * (1 - kr) * red, luma + 2 * (1 - kb) * blue
    g = (luma - kr * r - kb * b) / (1 - kr - kb)
    probed, frames = frames_of(path)
    assert np.abs(frames[0, 16, 16] - np.array([r, g, b])).max() <= 1
    assert (probed.info.space, probed.info.color_range) == (matrix, 2 if full else 1)


def test_untagged_video_is_taken_for_601_below_720_lines_and_709_from_there(clips: Path) -> None:
    small = encode(clips / "untagged.mp4")
    large = encode(clips / "untagged720.mp4", size=(1280, 720), frames=2, options={"preset": "ultrafast"})
    assert probe(small).info.space == 6
    assert probe(large).info.space == 1
    below = encode(clips / "untagged718.mp4", size=(64, 718), frames=1, options={"preset": "ultrafast"})
    assert probe(below).info.space == 6


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_rotated_video_comes_out_upright(clips: Path, degrees: int) -> None:
    plain = encode(clips / "plain.mp4", options=LOSSLESS)
    path = clips / f"rotated{degrees}.mp4"
    rotate(plain, path, degrees)
    probed, frames = frames_of(path)
    _, straight = frames_of(plain)
    # `degrees` is how far a player must turn the picture clockwise
    expected = np.rot90(straight, -degrees // 90, axes=(1, 2))
    assert (probed.info.width, probed.info.height) == (expected.shape[2], expected.shape[1])
    assert error_of(frames, expected) == 0
    assert error_of(frames, np.rot90(expected, 2, axes=(1, 2))) > 10


def rotate(source: Path, target: Path, degrees: int) -> None:
    """Patch the matrix of the track header: [cos sin 0; -sin cos 0; 0 0 1], clockwise in MP4's downward y."""
    cos, sin = {90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    one = 1 << 16
    data = source.read_bytes()
    identity = b"".join(value.to_bytes(4, "big", signed=True) for value in (one, 0, 0, 0, one, 0, 0, 0, 1 << 30))
    turned = (cos * one, sin * one, 0, -sin * one, cos * one, 0, 0, 0, 1 << 30)
    matrix = b"".join(value.to_bytes(4, "big", signed=True) for value in turned)
    at = data.index(identity, data.index(b"tkhd"))
    target.write_bytes(data[:at] + matrix + data[at + 36 :])


def test_variable_frame_rate_and_pixel_aspect(clips: Path) -> None:
    def setup(stream: Any) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)

    times = [0, 1001, 3003, 3500, 9000, 9001, 20000, 20100, 20200, 30000, 40000, 40400]
    path = encode(clips / "vfr.mp4", pts=times, time_base=Fraction(1, 30000), setup=setup)
    info = probe(path).info
    assert [time * Fraction(*info.time_base) for time in info.pts] == [Fraction(time, 30000) for time in times]
    assert info.sample_aspect == (4, 3)


def test_scaling(clips: Path) -> None:
    path = encode(clips / "scale.mp4", options=LOSSLESS)
    probed, frames = frames_of(path, scale="32x24")
    assert frames.shape == (12, 24, 32, 3)
    assert probed.info.sample_aspect == (1, 1)
    expected = picture(0).reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert error_of(frames[0], expected) < 3
    # 64x48 pressed into 24x24 keeps its shape on the screen: pixels are 4/3 wide
    assert probe(path, scale=(24, 24)).info.sample_aspect == (4, 3)
    kept = probe(path, scale="20x-1").info
    assert (kept.width, kept.height, kept.sample_aspect) == (20, 16, (1, 1))


def test_parse_size() -> None:
    assert parse_size("320x180") == (320, 180)
    assert parse_size("-1X180") == (-1, 180)
    for text in ("", "320", "0x10", "-1x-1", "10x-2", "axb", "99999x2", "320x180x2", "²x3"):
        with pytest.raises(UsageError):
            parse_size(text)


def test_the_real_clip(bunny: Path) -> None:
    probed, frames = frames_of(bunny)
    assert frames.shape == (60, 180, 320, 3)
    assert probed.audio_codec == "aac"
    assert probed.audio_end is None
    assert probed.warnings == ()
    sound = read_audio(bunny)
    assert sound is not None
    assert (sound.sample_rate, sound.layout) == (48000, "5.1")
    with av.open(str(bunny)) as container:
        assert [packet.data for packet in sound.packets] == [bytes(p) for p in container.demux(audio=0) if p.size]


def test_max_frames_cuts_the_sound_too(bunny: Path) -> None:
    probed, frames = frames_of(bunny, max_frames=10)
    assert len(frames) == probed.info.frames == 10
    assert probed.audio_end == Fraction(10, 25)
    sound = read_audio(bunny, probed.audio_end)
    assert sound is not None
    last = sound.packets[-1].pts * Fraction(*sound.time_base)
    assert probed.audio_end - Fraction(1024, 48000) <= last < probed.audio_end


def png(folder: Path, name: str, image: Picture) -> None:
    Image.fromarray(image).save(folder / name)


@pytest.mark.parametrize("size", [(64, 48), (854, 480)])
@pytest.mark.parametrize("quality", [50, 95, 100])
def test_a_folder_of_jpegs_large_and_small(tmp_path: Path, size: tuple[int, int], quality: int) -> None:
    """FFmpeg reads the first 2 KB to tell what a file is; most JPEGs are longer."""
    noise = np.random.default_rng(1).integers(0, 256, (2, size[1], size[0], 3), dtype=np.uint8)
    for number, image in enumerate(noise):
        Image.fromarray(image).save(tmp_path / f"{number:05}.jpg", quality=quality)
    probed = probe(tmp_path)
    assert probed.warnings == ()
    shown = list(read_frames(tmp_path, probed))
    assert [picture.shape for picture in shown] == [(size[1], size[0], 3)] * 2


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for number in (10, 2, 1):
        png(tmp_path, f"f{number}.png", picture(number))
    probed, frames = frames_of(tmp_path)
    assert (frames == np.stack([picture(number) for number in (1, 2, 10)])).all()
    assert probed.info.average_rate == (25, 1)
    assert probed.info.pts == (0, 1, 2)
    assert read_audio(tmp_path) is None


def test_pictures_of_other_sizes_are_scaled_with_a_warning(tmp_path: Path) -> None:
    png(tmp_path, "1.png", picture(0))
    png(tmp_path, "2.png", picture(1, 32, 24))
    probed, frames = frames_of(tmp_path)
    assert frames.shape == (2, 48, 64, 3)
    assert "another size" in " ".join(probed.warnings)


def test_transparency_is_laid_over_black_with_a_warning(tmp_path: Path) -> None:
    rgba = np.dstack([picture(0), np.full((48, 64), 255, np.uint8)])
    rgba[:, :32, 3] = 0
    png(tmp_path, "1.png", rgba)
    probed, frames = frames_of(tmp_path)
    assert "transparency" in " ".join(probed.warnings)
    assert (frames[0, :, :32] == 0).all()
    assert (frames[0, :, 32:] == picture(0)[:, 32:]).all()


def test_hdr_warns_that_it_is_not_tone_mapped(clips: Path) -> None:
    def setup(stream: Any) -> None:
        stream.codec_context.color_trc = 16
        stream.codec_context.color_primaries = 9
        stream.codec_context.colorspace = 9

    path = encode(clips / "hdr.mp4", "libx264", "yuv420p10le", setup=setup)
    probed = probe(path)
    assert "HDR (PQ)" in probed.warnings[0]
    assert "without tone mapping" in probed.warnings[0]
    assert (probed.info.primaries, probed.info.transfer, probed.info.space) == (1, 1, 1)


def long_clip(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.exists():
        faststart = {"movflags": "faststart"} if name.endswith("mp4") else {}
        encode(path, frames=75, options={"g": "10"}, sound="aac", muxer=faststart)
    return path


@pytest.mark.parametrize("name", ["long.mp4", "long.mkv", "long.ts"])
def test_a_video_cut_in_half_gives_what_decodes_with_a_warning(clips: Path, tmp_path: Path, name: str) -> None:
    whole = long_clip(clips, name)
    assert probe(whole, strict=True).warnings == ()
    half = tmp_path / name
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    probed, frames = frames_of(half)
    assert 5 < len(frames) < 70
    if name.endswith("ts"):
        return  # a transport stream does not say how long it should be, so that nobody can tell
    assert "cut off" in probed.warnings[0] or "damaged" in probed.warnings[0]
    with pytest.raises(VideoError, match=name.split(".", maxsplit=1)[0]):
        probe(half, strict=True)
    read_audio(half)


def test_damage_in_the_middle_skips_frames_but_never_crashes(clips: Path, tmp_path: Path) -> None:
    whole = long_clip(clips, "long.mkv").read_bytes()
    random = np.random.default_rng(3)
    for number in range(20):
        data = bytearray(whole)
        for at in random.integers(0, len(data), 40):
            data[at] = random.integers(0, 256)
        path = tmp_path / f"{number}.mkv"
        path.write_bytes(data)
        try:
            _, frames = frames_of(path)
        except NeuralCipherError:
            continue
        assert frames.ndim == 4
        read_audio(path)


def bad_inputs(folder: Path) -> dict[str, tuple[Path, type[NeuralCipherError], str]]:
    empty = folder / "empty.mp4"
    empty.touch()
    text = folder / "text.mp4"
    text.write_text("this is not a video\n" * 100)
    playlist = folder / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{folder}/x.ts\n")
    script = folder / "script.mp4"
    script.write_text("ffconcat version 1.0\nfile x.mkv\n")
    (folder / "bare").mkdir()
    only_sound = folder / "sound.mp4"
    with av.open(str(only_sound), "w") as output:
        sing(output, output.add_stream("aac", rate=48000, layout="stereo"), 48000, 0.5)
    no_frames = folder / "hollow.mp4"
    with av.open(str(no_frames), "w") as output:
        stream: Any = output.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        output.start_encoding()
    noise = folder / "noise.mp4"
    whole = encode(folder / "whole.mp4", muxer={"movflags": "faststart"}).read_bytes()
    payload = whole.index(b"mdat") + 4
    noise.write_bytes(whole[:payload] + bytes(len(whole) - payload))
    return {
        "missing": (folder / "absent.mp4", UsageError, "there is no file absent.mp4"),
        "folder": (folder / "bare", UsageError, "the folder bare holds no PNG or JPEG frames"),
        "device": (Path("/dev/null"), UsageError, "null is not a regular file"),
        "empty": (empty, VideoError, "empty.mp4 is empty"),
        "text": (text, VideoError, "text.mp4 is not a video that can be decoded"),
        "playlist": (playlist, VideoError, "list.mp4 is not a video"),
        "script": (script, VideoError, "script.mp4 is not a video"),
        "sound": (only_sound, VideoError, "sound.mp4 holds sound but no video"),
        "hollow": (no_frames, VideoError, "hollow.mp4"),
        "noise": (noise, VideoError, "noise.mp4 holds no frame that can be decoded"),
    }


KINDS_OF_BAD = [
    "missing",
    "folder",
    "device",
    "empty",
    "text",
    "playlist",
    "script",
    "sound",
    "hollow",
    "noise",
]


@pytest.mark.parametrize("kind", KINDS_OF_BAD)
def test_bad_input_gets_one_sentence_that_names_the_file(tmp_path: Path, kind: str) -> None:
    path, error, sentence = bad_inputs(tmp_path)[kind]
    with pytest.raises(error) as raised:
        probe(path)
    assert type(raised.value) is error
    assert raised.value.message.startswith(sentence)
    assert "\n" not in raised.value.message
    assert not raised.value.message.endswith(".")
    assert raised.value.hint


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    path = encode(tmp_path / "secret.mp4")
    path.chmod(0)
    with pytest.raises(UsageError, match="cannot be read"):
        probe(path)


def test_one_frame_is_a_video(clips: Path) -> None:
    probed, frames = frames_of(encode(clips / "one.mp4", frames=1))
    assert len(frames) == 1
    assert probed.info.end_time == Fraction(1, 25)


def test_ffmpeg_prints_nothing(clips: Path, tmp_path: Path) -> None:
    data = bytearray(long_clip(clips, "long.mkv").read_bytes())
    data[len(data) // 2 :: 50] = bytes(len(data[len(data) // 2 :: 50]))
    path = tmp_path / "damaged.mkv"
    path.write_bytes(data)
    code = (
        "import sys; from neuralcipher.video.reading import *\n"
        "try:\n p = probe(sys.argv[1]); list(read_frames(sys.argv[1], p))\nexcept Exception: pass"
    )
    ran = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, check=True)
    assert ran.stdout + ran.stderr == b""


def test_a_name_that_looks_like_an_address_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    encode(tmp_path / "a.mp4").rename(tmp_path / "http:%d.mp4")
    assert probe("http:%d.mp4").info.frames == 12

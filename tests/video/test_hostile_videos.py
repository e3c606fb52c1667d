"""Videos that are damaged, odd or made to do harm: the right frames in the right order, or one sentence; in bounds.

What is odd but whole must give exactly its frames. What is damaged must give frames or a sentence. Children are held to
512 MiB and 20 s without progress, and needing more is a failure.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from video_clips import encode, number_of, numbered, patched

import neuralcipher
from neuralcipher.errors import EXIT_DAMAGED, NeuralCipherError, VideoError
from neuralcipher.pipeline.options import SealOptions
from neuralcipher.pipeline.sealing import seal
from neuralcipher.video import session
from neuralcipher.video.limits import Limits
from neuralcipher.video.metadata import AudioTrack
from neuralcipher.video.reading import Probe, probe, read_audio, read_frames

SEED = 20_26
FAST = {"preset": "ultrafast", "threads": "1"}
B_FRAMES = {"preset": "medium", "bf": "3", "threads": "1", "x264-params": "b-adapt=0"}


@pytest.fixture(autouse=True)
def bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "LIMITS", Limits(memory_bytes=512 << 20, stall_s=60))


def clip(path: Path, codec: str = "libx264", pix_fmt: str = "yuv420p", **options: Any) -> Path:
    options.setdefault("options", FAST if codec == "libx264" else {})
    return encode(path, codec, pix_fmt, draw=numbered, **options)


def read(path: Path) -> tuple[Probe, list[int], AudioTrack | None]:
    probed = probe(path)
    frames = list(read_frames(path, probed))
    assert len(frames) == probed.info.frames
    assert {frame.shape for frame in frames} == {(probed.info.height, probed.info.width, 3)}
    return probed, [number_of(frame) for frame in frames], read_audio(path)


def survives(path: Path) -> str:
    """Read a damaged video: "frames", or the sentence. Fails if that is not one sentence, or out of bounds."""
    try:
        probed, _, sound = read(path)
    except NeuralCipherError as error:
        caught = error
    else:
        assert increasing(probed)
        assert sound is None or sound.packets
        return "frames"
    assert type(caught) is VideoError, caught
    assert caught.exit_code == EXIT_DAMAGED
    assert path.name in caught.message
    assert "\n" not in caught.message + caught.hint
    assert caught.hint
    for bad in ("got nowhere", "the system ended", "sent what is no answer"):
        assert bad not in caught.message
    return caught.message


def increasing(probed: Probe) -> bool:
    return all(a < b for a, b in pairwise(probed.info.pts))


CONTAINERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "a.mp4": ("libx264", "yuv420p", {}),
    "a.mov": ("libx264", "yuv420p", {}),
    "a.mkv": ("ffv1", "yuv420p", {}),
    "a.webm": ("libvpx", "yuv420p", {}),
    "a.avi": ("mpeg4", "yuv420p", {}),
    "huffyuv.avi": ("huffyuv", "yuv422p", {}),
    "raw.avi": ("rawvideo", "bgr24", {}),
    "a.ts": ("libx264", "yuv420p", {}),
    "a.m2ts": ("libx264", "yuv420p", {}),
    "a.mpg": ("mpeg2video", "yuv420p", {}),
    "a.flv": ("flv", "yuv420p", {}),
    "a.wmv": ("wmv2", "yuv420p", {}),
    "a.mxf": ("mpeg2video", "yuv420p", {}),
    "a.nut": ("ffv1", "bgr0", {}),
    "a.gif": ("gif", "rgb8", {}),
    "a.apng": ("apng", "rgb24", {}),
    "a.ivf": ("libvpx", "yuv420p", {}),
    "a.y4m": ("wrapped_avframe", "yuv420p", {}),
    "b-frames.mp4": ("libx264", "yuv420p", {"options": B_FRAMES}),
    "b-frames.mkv": ("libx264", "yuv420p", {"options": B_FRAMES}),
    "b-frames.ts": ("libx264", "yuv420p", {"options": B_FRAMES}),
    "fragments.mp4": ("libx264", "yuv420p", {"muxer": {"movflags": "frag_keyframe+empty_moov"}}),
    "late.mp4": ("libx264", "yuv420p", {"pts": range(100, 112), "options": B_FRAMES}),
    "late.mkv": ("libx264", "yuv420p", {"pts": range(100, 112)}),
    "no-times.h264": ("libx264", "yuv420p", {"options": B_FRAMES}),
    "no-times.m4v": ("mpeg4", "yuv420p", {}),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_odd_containers_give_their_frames_in_order(tmp_path: Path, name: str) -> None:
    codec, pix_fmt, options = CONTAINERS[name]
    probed, numbers, _ = read(clip(tmp_path / name, codec, pix_fmt, **options))
    assert numbers == list(range(12))
    assert probed.info.frames == 12


@pytest.mark.parametrize("suffix", [".avi", ".png", ".txt", ".m3u8", ".sdp", ".wav", "", ".h264"])
def test_a_wrong_suffix_changes_nothing(tmp_path: Path, suffix: str) -> None:
    for name in ("a.mp4", "a.mkv"):
        path = clip(tmp_path / name)
        assert read(path.rename(tmp_path / f"b{suffix}"))[1] == list(range(12))


def test_what_else_is_in_the_file_is_left_alone(tmp_path: Path) -> None:
    subtitles = tmp_path / "s.srt"
    subtitles.write_text("1\n00:00:00,000 --> 00:00:00,400\n<b>hello</b>\n")
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as output, av.open(str(subtitles)) as words:
        stream: Any = output.add_stream("libx264", rate=25, options=FAST)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        text = output.add_stream_from_template(words.streams.subtitles[0])
        output.add_attachment("../../evil.ttf", "application/x-truetype-font", b"\0" * 5000)
        for packet in words.demux():
            if packet.size:
                packet.stream = text
                output.mux(packet)
        for number in range(12):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24").reformat(format="yuv420p")
            frame.pts = number
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    before = sorted(tmp_path.iterdir())
    assert read(path)[1] == list(range(12))
    assert sorted(tmp_path.iterdir()) == before


def test_a_size_that_changes_in_the_middle(tmp_path: Path) -> None:
    first, second = clip(tmp_path / "1.h264"), clip(tmp_path / "2.h264", size=(128, 96))
    path = tmp_path / "both.h264"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    probed, numbers, _ = read(path)
    assert numbers == [*range(12), *range(12)]
    assert (probed.info.width, probed.info.height) == (64, 48)
    assert any("12 frames of both.h264 have another size" in warning for warning in probed.warnings)


def test_a_video_that_starts_over_has_increasing_times(tmp_path: Path) -> None:
    one = clip(tmp_path / "1.ts").read_bytes()
    path = tmp_path / "twice.ts"
    path.write_bytes(one + one)
    probed, numbers, _ = read(path)
    assert numbers[:10] == list(range(10))
    assert numbers[-11:] == list(range(1, 12))
    assert increasing(probed)
    assert any("did not increase and were moved" in warning for warning in probed.warnings)


def test_an_edit_list_that_starts_inside(tmp_path: Path) -> None:
    data = clip(tmp_path / "a.mp4", options=B_FRAMES).read_bytes()
    at = data.index(b"elst") + 4
    (start,) = struct.unpack(">i", data[at + 12 : at + 16])
    unit = struct.unpack(">I", data[data.index(b"mdhd") + 16 :][:4])[0] // 25
    assert (struct.unpack(">I", data[at + 4 : at + 8])[0], start % unit) == (1, 0)
    path = tmp_path / "b.mp4"
    path.write_bytes(patched(data, b"elst", 12, struct.pack(">i", start + 3 * unit)))
    assert read(path)[1] == list(range(3, 12))  # what a player shows
    for wild in (-(2**31), -1, 2**31 - 1):
        path.write_bytes(patched(data, b"elst", 12, struct.pack(">i", wild)))
        survives(path)


def test_claims_of_a_huge_size(tmp_path: Path) -> None:
    # H.264 says its size itself; the container's word is not taken
    mp4 = clip(tmp_path / "a.mp4").read_bytes()
    wide = patched(patched(mp4, b"tkhd", 76, b"\xff\xff\0\0\xff\xff\0\0"), b"avc1", 24, b"\xff\xff\xff\xff")
    (tmp_path / "w.mp4").write_bytes(wide)
    assert read(tmp_path / "w.mp4")[1] == list(range(12))
    gif = clip(tmp_path / "a.gif", "gif", "rgb8").read_bytes()
    (tmp_path / "w.gif").write_bytes(gif[:6] + b"\xff\xff\xff\xff" + gif[10:])
    assert survives(tmp_path / "w.gif") != "frames"
    y4m = clip(tmp_path / "a.y4m", "wrapped_avframe").read_bytes().replace(b"W64 H48", b"W65535 H65535")
    (tmp_path / "w.y4m").write_bytes(y4m)
    assert survives(tmp_path / "w.y4m") != "frames"
    jpeg = clip(tmp_path / "a.avi", "mjpeg", "yuvj420p").read_bytes()
    (tmp_path / "w.avi").write_bytes(jpeg.replace(b"\x08\x00\x30\x00\x40", b"\x08\xff\xff\xff\xff"))
    assert survives(tmp_path / "w.avi") != "frames"
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(numbered(0)).save(folder / "1.png")
    png = (folder / "1.png").read_bytes()
    (folder / "1.png").write_bytes(png[:16] + b"\0\0\xff\xff\0\0\xff\xff" + png[24:])
    with pytest.raises(VideoError):
        probe(folder)


@pytest.mark.parametrize("size", [(16400, 2), (2, 16400)])
def test_a_picture_with_too_long_a_side_is_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    path = encode(tmp_path / "long.mkv", "ffv1", "gray", size=size, frames=1)
    with pytest.raises(VideoError, match=r"the picture of long.mkv is \d+x\d+, larger than 16384 a side"):
        probe(path)


def test_a_claim_of_a_huge_duration(tmp_path: Path) -> None:
    mp4 = clip(tmp_path / "a.mp4").read_bytes()
    path = tmp_path / "b.mp4"
    path.write_bytes(patched(mp4, b"mvhd", 16, b"\xff\xff\xff\xfe"))
    assert read(path)[1] == list(range(12))
    mkv = clip(tmp_path / "a.mkv").read_bytes()
    at = mkv.index(b"\x44\x89\x88") + 3  # Duration, 8 bytes
    for value in (1e18, -1.0, float("inf"), float("nan")):
        (tmp_path / "b.mkv").write_bytes(mkv[:at] + struct.pack(">d", value) + mkv[at + 8 :])
        assert read(tmp_path / "b.mkv")[1] == list(range(12))


def test_a_claim_of_a_huge_number_of_frames(tmp_path: Path) -> None:
    mp4 = clip(tmp_path / "a.mp4").read_bytes()
    path = tmp_path / "b.mp4"
    for kind, offset in ((b"stsz", 8), (b"stts", 8), (b"stts", 4), (b"stco", 4), (b"stsc", 4), (b"stsz", 4)):
        path.write_bytes(patched(mp4, kind, offset, b"\x7f\xff\xff\xff"))
        survives(path)


def with_sound(folder: Path) -> dict[str, bytes]:
    made = {
        "a.mp4": ("libx264", "aac", {"movflags": "faststart"}),
        "a.mkv": ("libx264", "flac", {}),
        "a.ts": ("libx264", "mp2", {}),
        "a.avi": ("mpeg4", "pcm_s16le", {}),
        "a.webm": ("libvpx", "libopus", {}),
        "a.gif": ("gif", "", {}),
    }
    return {
        name: clip(
            folder / name, codec, "rgb8" if codec == "gif" else "yuv420p", sound=sound or None, muxer=muxer
        ).read_bytes()
        for name, (codec, sound, muxer) in made.items()
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return with_sound(tmp_path_factory.mktemp("whole"))


def all_survive(folder: Path, variants: Iterator[tuple[str, bytes]]) -> list[str]:
    paths = []
    for number, (name, data) in enumerate(variants):
        paths.append(folder / f"{number}-{name}")
        paths[-1].write_bytes(data)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(survives, paths))


def test_cut_at_many_points(tmp_path: Path, whole: dict[str, bytes]) -> None:
    random = np.random.default_rng(SEED)

    def cuts() -> Iterator[tuple[str, bytes]]:
        for name, data in whole.items():
            points = random.integers(1, len(data), 5).tolist()
            yield from ((name, data[:at]) for at in [1, 16, *points, len(data) - 1])

    outcomes = all_survive(tmp_path, cuts())
    assert outcomes.count("frames") > 10
    assert len(set(outcomes)) > 10


def test_hundreds_of_flipped_bits(tmp_path: Path, whole: dict[str, bytes]) -> None:
    print("seed", SEED)
    random = np.random.default_rng(SEED)

    def flipped() -> Iterator[tuple[str, bytes]]:
        for number in range(198):
            name = list(whole)[number % len(whole)]
            data = np.frombuffer(whole[name], np.uint8).copy()
            # Half of them near the start, where headers are.
            reach = len(data) if number % 2 else min(len(data), 1500)
            at = random.integers(0, reach, 1 + number % 20)
            data[at] ^= (1 << random.integers(0, 8, len(at))).astype(np.uint8)
            yield name, data.tobytes()

    outcomes = all_survive(tmp_path, flipped())
    assert 20 < outcomes.count("frames") < 198


HEADERS = {
    "zip": b"PK\x03\x04",
    "elf": b"\x7fELF\x02\x01\x01",
    "pdf": b"%PDF-1.7\n",
    "html": b"<!doctype html><video src='http://127.0.0.1/'>",
    "svg": b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
    "riff": b"RIFF\xff\xff\xff\xffAVI LIST",
    "ebml": b"\x1a\x45\xdf\xa3\xff\xff\xff\xff\xff\xff\xff\xff",
    "ftyp": b"\0\0\0\x18ftypisom\0\0\0\0isommp42\xff\xff\xff\xffmoov",
    "zeros": b"\0" * 64,
    "gif": b"GIF89a",
    "png": b"\x89PNG\r\n\x1a\n",
    "annex b": b"\0\0\0\x01\x67\xff\xff\xff\xff",
    "ts": b"G" + b"\xff" * 187 + b"G",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_before_noise(tmp_path: Path, name: str) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(HEADERS[name] + np.random.default_rng(1).bytes(20_000))
    survives(path)


def playlists(target: str) -> dict[str, str]:
    hls = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{}\n#EXT-X-ENDLIST\n"
    return {
        "hls": hls.format(target),
        "hls with a key": hls.format(f'#EXT-X-KEY:METHOD=AES-128,URI="{target}"\n{target}'),
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=control:{target}\n",
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT1S"><Period><AdaptationSet mimeType="video/mp4">'
            f'<Representation id="1" bandwidth="1"><BaseURL>{target}</BaseURL></Representation></AdaptationSet>'
            "</Period></MPD>"
        ),
        "ram": f"{target}\n",
        "asx": f'<asx version="3.0"><entry><ref href="{target}"/></entry></asx>',
        "vobsub": f"# VobSub index file, v7\nid: en, index: 0\ntimestamp: 00:00:00:000, filepos: 0\n# {target}\n",
    }


@pytest.mark.parametrize("suffix", [".mp4", ".m3u8"])
def test_a_playlist_makes_us_read_nothing_else(tmp_path: Path, suffix: str) -> None:
    secret = clip(tmp_path / "secret.ts")
    trap = tmp_path / "trap.ts"
    os.mkfifo(trap)  # whoever opens it waits for ever
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        port = server.getsockname()[1]
        addresses = [f"{scheme}://127.0.0.1:{port}/a.ts" for scheme in ("http", "tcp", "rtmp", "rtsp", "ftp")]
        names = ["secret.ts", "trap.ts", str(secret), str(trap), f"file:{secret}", f"file://{trap}"]

        def lists() -> Iterator[tuple[str, bytes]]:
            for number, target in enumerate(
                [*addresses, *names, f"concat:{secret}|{trap}", f"subfile,,start,0,,:{trap}"]
            ):
                made = playlists(target)
                # Every target in the lists that FFmpeg follows, and in one of the others.
                for kind in {"hls", "concat", list(made)[number % len(made)]}:
                    yield f"list{suffix}", made[kind].encode()

        assert "frames" not in all_survive(tmp_path, lists())
        with pytest.raises(BlockingIOError):
            server.accept()


def test_ffmpeg_itself_is_told_to_open_nothing_else(tmp_path: Path) -> None:
    """Without the limits that would stop it as well."""
    os.mkfifo(tmp_path / "trap.ts")
    for kind, text in playlists("trap.ts").items():
        (tmp_path / f"{kind}.m3u8").write_text(text)
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from neuralcipher.errors import VideoError\nfrom neuralcipher.video.source import Feed, opened\n"
        "for path in sorted(Path(sys.argv[1]).glob('*.m3u8')):\n"
        " try:\n"
        "  with opened(Feed(path)): print(path.name)\n"
        " except VideoError: pass\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=tmp_path, capture_output=True, timeout=600, check=True
    )
    assert (ran.stdout, ran.stderr) == (b"", b"")


def test_an_mp4_that_keeps_its_frames_elsewhere(tmp_path: Path) -> None:
    clip(tmp_path / "secret.mp4")
    data = clip(tmp_path / "a.mp4").read_bytes()
    at = data.index(b"url ")
    # Flag 0: the frames are not in this file; the address takes the place of a free box's worth of bytes behind it.
    (tmp_path / "b.mp4").write_bytes(data[: at + 4] + bytes(4) + data[at + 8 :])
    survives(tmp_path / "b.mp4")


def test_pictures_that_are_something_else(tmp_path: Path) -> None:
    for number in range(3):
        Image.fromarray(numbered(number)).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_text("#EXTM3U\n#EXTINF:2,\nfile:///etc/passwd\n")
    (tmp_path / "4.jpg").write_bytes((tmp_path / "1.png").read_bytes()[:80])
    (tmp_path / "5.png").write_bytes(b"")
    probed, numbers, sound = read(tmp_path)
    assert numbers == [0, 1, 2]
    assert sound is None
    assert "3 parts do not" in probed.warnings[0]


def cut_mp4(whole: dict[str, bytes]) -> bytes:
    return whole["a.mp4"][: len(whole["a.mp4"]) * 3 // 4]


def noisy_mkv(whole: dict[str, bytes]) -> bytes:
    data = bytearray(whole["a.mkv"])
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    return bytes(data)


def no_video(whole: dict[str, bytes]) -> bytes:
    return whole["a.mp4"][:200]


@pytest.mark.parametrize("make", [cut_mp4, noisy_mkv, no_video])
def test_sealing_a_damaged_video(tmp_path: Path, whole: dict[str, bytes], make: Callable[..., bytes]) -> None:
    source, bundle = tmp_path / "a.bin", tmp_path / "a.ncv"
    source.write_bytes(make(whole))
    key = neuralcipher.generate_key()
    options = SealOptions(budget_s=0.3, max_frames=4, scale="32x24")
    if make is no_video:
        with pytest.raises(VideoError, match=r"a\.bin"):
            seal(source, bundle, keys=[key], options=options)
        assert [entry.name for entry in tmp_path.iterdir()] == ["a.bin"]
        return
    report = seal(source, bundle, keys=[key], options=options)
    assert report.frames == 4
    opened = neuralcipher.open_bundle(bundle, tmp_path / "o.mkv", keys=[key])
    assert opened.frames == 4
    assert probe(tmp_path / "o.mkv").info.duration_s == Fraction(4, 25)


def test_sealing_when_the_decoder_crashes_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hear = session.Session.hear

    def crash(self: session.Session, *kinds: str) -> tuple[str, list[Any]]:
        if "picture" in kinds:
            os.kill(self._process.pid, 11)
        return hear(self, *kinds)

    monkeypatch.setattr(session.Session, "hear", crash)
    source = clip(tmp_path / "a.mp4", size=(640, 480), frames=40)
    with pytest.raises(VideoError, match=r"FFmpeg crashed while it decoded a\.mp4"):
        seal(
            source,
            tmp_path / "a.ncv",
            keys=[neuralcipher.generate_key()],
            options=SealOptions(budget_s=0.3, scale="32x24"),
        )
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]

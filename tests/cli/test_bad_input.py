"""What the command says to bad input: one sentence, the right exit code, and nothing left behind."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import time

import av
import numpy as np
import pytest
from command import FAST, NCIPHER, SMALL, contents, fails, forked
from PIL import Image

PHRASE = "a long and private sentence"


def audio_only(video, target) -> None:
    """Copy the sound of `video` without its pictures."""
    with av.open(str(video)) as source, av.open(str(target), "w") as out:
        track = source.streams.audio[0]
        copy = out.add_stream_from_template(track)
        for packet in source.demux(track):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)


def test_audio_only_and_a_cut_video_under_strict(work):
    audio_only(work / "video.mp4", work / "sound.mp4")
    fails(work, 4, "sound.mp4", "seal", "sound.mp4", "-k", "k.bin", *SMALL)
    with av.open(str(work / "video.mp4")) as source, av.open(str(work / "whole.mkv"), "w") as out:
        copy = out.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = copy
                out.mux(packet)
    data = (work / "whole.mkv").read_bytes()
    (work / "cut.mkv").write_bytes(data[: len(data) // 2])
    fast = ["--scale", "32x-1", "--budget", "0.1", "--generator", "chacha20"]
    fails(work, 4, "cut.mkv", "seal", "cut.mkv", "-k", "k.bin", "--strict", *fast)
    done = forked("seal", "cut.mkv", "-k", "k.bin", *fast, cwd=work)
    assert "cut.mkv" in done.stderr
    assert (work / "cut.ncv").exists()


def test_a_folder_of_one_frame_seals(work):
    (work / "frames").mkdir()
    Image.fromarray(np.full((24, 32, 3), 90, np.uint8)).save(work / "frames/1.png")
    report = json.loads(
        forked("seal", "frames", "-k", "k.bin", "--budget", "0.1", "--json", "--generator", "chacha20", cwd=work).stdout
    )
    assert (report["frames"], report["bundle"]) == (1, "frames.ncv")
    forked("open", "frames.ncv", "-k", "k.bin", "-o", "o.mp4", cwd=work)
    (work / "frames.ncv").unlink()
    forked("seal", ".", "-k", "../k.bin", "--budget", "0.1", "--generator", "chacha20", cwd=work / "frames")
    assert (work / "frames.ncv").exists()


def test_passphrases(work):
    (work / "phrase").write_text(PHRASE)
    (work / "wrong").write_text("another sentence")
    (work / "none").touch()
    add = ["rekey", "video.ncv", "-k", "k.bin", "--json", "--add-passphrase-file"]
    assert json.loads(forked(*add, "phrase", cwd=work).stdout)["slots"] == ["key", "passphrase"]
    fails(work, 5, "passphrase", "verify", "video.ncv", "--passphrase-file", "wrong")
    fails(work, 2, "empty", "verify", "video.ncv", "--passphrase-file", "none")
    fails(work, 2, "empty", "verify", "video.ncv", env={"NCIPHER_PASSPHRASE": ""})
    fails(work, 2, "terminal", "open", "video.ncv", "--passphrase", "-o", "n.mp4")
    forked("verify", "video.ncv", "--passphrase-file", "phrase", cwd=work)


def test_a_slot_that_is_not_there_is_not_removed(work):
    fails(work, 2, "slot", "rekey", "video.ncv", "-k", "k.bin", "--remove-slot", "5", "--add-key", "other.bin")
    fails(work, 2, "slot", "rekey", "video.ncv", "-k", "k.bin", "--remove-slot", "0")
    forked("rekey", "video.ncv", "-k", "k.bin", "--remove-slot", "0", "--add-key", "other.bin", cwd=work)
    fails(work, 5, "no key slot", "verify", "video.ncv", "-k", "k.bin")


def test_a_world_readable_key_is_warned_about(work):
    (work / "k.bin").chmod(0o644)
    assert "chmod 600" in forked("verify", "video.ncv", "-k", "k.bin", cwd=work).stderr


def test_no_key_says_what_to_pass(work):
    for arguments in (["open", "video.ncv", "-o", "n.mp4"], ["seal", "video.mp4", "-o", "n.ncv"]):
        fails(work, 2, "pass --key FILE or --passphrase", *arguments)


@pytest.mark.parametrize(
    ("sentence", "arguments"),
    [
        ("--preset", ["seal", "video.mp4", "-k", "k.bin", "--presett", "fast"]),
        ("'seal'", ["sael", "video.mp4"]),
        ("missing argument", ["open"]),
        ("did you mean feistel?", ["seal", "video.mp4", "-k", "k.bin", "-o", "n.ncv", "--generator", "fiestel"]),
        ("NAME=NUMBER", ["seal", "video.mp4", "-k", "k.bin", "-o", "n.ncv", "-O", "nconv"]),
        ("--budget", ["seal", "video.mp4", "-k", "k.bin", "--budget", "soon"]),
        ("both an input and the output", ["open", "video.ncv", "-k", "k.bin", "-o", "link.mp4", "--force"]),
        ("both an input and the output", ["open", "video.ncv", "-k", "k.bin", "-o", "soft.mp4", "--force"]),
        ("both an input and the output", ["seal", "video.mp4", "-k", "k.bin", "-o", "video.mp4", "--force"]),
        ("folder of absent", ["open", "video.ncv", "-k", "k.bin", "-o", "absent/n.mp4"]),
        ("no device", ["open", "video.ncv", "-k", "k.bin", "-o", "n.mp4", "--device", "tpu"]),
        ("avi", ["open", "video.ncv", "-k", "k.bin", "-o", "n.avi"]),
    ],
)
def test_wrong_arguments_are_one_sentence(work, sentence, arguments):
    os.link(work / "video.ncv", work / "link.mp4")
    (work / "soft.mp4").symlink_to("video.ncv")
    fails(work, 2, sentence, *arguments)


def test_a_wrong_argument_with_json_is_an_object(work):
    error = json.loads(forked("seal", "--nonsense", "--json", cwd=work, code=2).stdout)
    assert set(error) == {"error", "hint", "exit_code"}
    assert error["exit_code"] == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(work):
    (work / "closed").mkdir(mode=0o500)
    fails(work, 2, "may not be written", "open", "video.ncv", "-k", "k.bin", "-o", "closed/n.mp4")


def test_a_full_or_closed_stdout_is_one_sentence(work):
    arguments = [NCIPHER, "open", "video.ncv", "-k", "k.bin", "-o", "-", "-q"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(arguments, cwd=work, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [NCIPHER, "info", "video.ncv", "--json"],
            cwd=work,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "ncipher: error: the system reports: no space left on device\n"
        "  hint: check the disk, the path and its permissions\n"
    )
    with subprocess.Popen(arguments, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_stdout_that_is_closed_matters_to_what_prints_alone(work):
    closed = ["sh", "-c", 'exec "$@" >&-', "sh", NCIPHER]
    done = subprocess.run([*closed, "keygen", "o.bin"], cwd=work, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == "ncipher: wrote o.bin: keep a copy, nothing opens a bundle without it\n"
    done = subprocess.run(
        [*closed, "info", "video.ncv", "--json"], cwd=work, stderr=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        "ncipher: error: the system reports: bad file descriptor\n"
        "  hint: check the disk, the path and its permissions\n"
    )


def test_without_a_stderr_a_command_does_its_work(work):
    closed = ["sh", "-c", 'exec "$@" 2>&-', "sh", NCIPHER]
    assert subprocess.run([*closed, "keygen", "o.bin"], cwd=work, check=False).returncode == 0
    assert (work / "o.bin").stat().st_size == 32
    assert subprocess.run([*closed, "keygen", "o.bin"], cwd=work, check=False).returncode == 6


def test_verify_names_the_damage(work):
    data = bytearray((work / "video.ncv").read_bytes())
    data[-3000] ^= 1
    (work / "video.ncv").write_bytes(data)
    report = json.loads(forked("verify", "video.ncv", "-k", "k.bin", "--json", cwd=work, code=4).stdout)
    assert report["whole"] is False
    assert "chunk" in report["problems"][0]["message"]


def test_force_overwrites(work):
    shutil.copy(work / "k.bin", work / "old.bin")
    forked("keygen", "k.bin", "--force", cwd=work)
    assert (work / "k.bin").read_bytes() != (work / "old.bin").read_bytes()
    assert (work / "k.bin").stat().st_mode & 0o777 == 0o600
    forked("open", "video.ncv", "-k", "old.bin", "--force", "-o", "video.mp4", cwd=work)


def test_every_command_shows_an_example(tmp_path):
    for command in ("keygen", "seal", "open", "cut", "join", "extract-audio", "info", "verify", "rekey", "demo"):
        assert f"ncipher {command}" in forked(command, "--help", cwd=tmp_path).stdout.partition("Example:")[2]


def one_frame_video(target, packets: bool) -> None:
    """A video of a single frame, or with a video stream that holds no packet."""
    with av.open(str(target), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 120, np.uint8), format="rgb24")
        coded = [*stream.encode(frame), *stream.encode(None)]
        out.start_encoding()
        if packets:
            out.mux(coded)


def test_one_frame_and_no_frame(work):
    one_frame_video(work / "one.mp4", packets=True)
    report = json.loads(forked("seal", "one.mp4", "-k", "k.bin", "--json", *FAST, cwd=work).stdout)
    assert report["frames"] == 1
    forked("open", "one.ncv", "-k", "k.bin", "-o", "again.mp4", cwd=work)
    one_frame_video(work / "none.mp4", packets=False)
    fails(work, 4, "none.mp4", "seal", "none.mp4", "-k", "k.bin", *FAST)


def test_limits_of_slots_and_of_argon2(work):
    for number in range(32):
        (work / f"{number}.key").write_bytes(bytes([number + 1] * 32))
        (work / f"{number}.key").chmod(0o600)
    added = [word for number in range(32) for word in ("--add-key", f"{number}.key")]
    fails(work, 4, "33", "rekey", "video.ncv", "-k", "k.bin", *added)
    (work / "phrase").write_text(PHRASE)
    forked("rekey", "video.ncv", "-k", "k.bin", "--add-passphrase-file", "phrase", cwd=work)
    data = (work / "video.ncv").read_bytes()
    assert data.count(b"\xa1t\x03") == 1  # "t": 3 passes, becomes 17 passes
    (work / "video.ncv").write_bytes(data.replace(b"\xa1t\x03", b"\xa1t\x11"))
    fails(work, 4, "17", "open", "video.ncv", "--passphrase-file", "phrase", "-o", "n.mp4")


def test_an_interrupted_open_leaves_nothing(work):
    before = contents(work)
    arguments = [NCIPHER, "open", "video.ncv", "-k", "k.bin", "-o", "n.mp4"]
    with subprocess.Popen(arguments, cwd=work, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 600
        while contents(work) == before and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=600)
    if process.returncode == 0:
        pytest.skip("it was faster than the interrupt")
    assert process.returncode == 130
    assert contents(work) == before


def test_a_full_disk_while_writing_pictures_leaves_nothing(work):
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))

    fails(work, 1, "", "open", "video.ncv", "-k", "k.bin", "-o", "pictures/", preexec_fn=limit)

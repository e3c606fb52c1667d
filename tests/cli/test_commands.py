"""The installed command, as a user types it, on the carried clip."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
from command import FAST, NCIPHER, fails, run


def test_json_and_round_trip(sealed, work):
    report = json.loads((sealed / "seal.json").read_text())
    assert {
        "bundle",
        "size_bytes",
        "raw_bytes",
        "frames",
        "width",
        "height",
        "psnr_db",
        "ms_ssim",
        "seconds",
        "suite",
        "generator",
        "flow",
    } <= set(report)
    assert report["frames"] == 6
    assert report["psnr_db"] > 25
    opened = json.loads(run("open", "video.ncv", "-k", "k.bin", "-o", "o.mkv", "--json", cwd=work).stdout)
    assert set(opened) == {"output", "frames", "seconds"}
    facts = json.loads(run("info", "video.ncv", "--json", cwd=work).stdout)
    assert facts == {"version": 1, "suite": "sealed", "slots": ["key"], "size_bytes": report["size_bytes"]}
    facts = json.loads(run("info", "video.ncv", "-k", "k.bin", "--json", cwd=work).stdout)
    assert {"frames", "width", "height", "generator", "flow", "sections"} <= set(facts)
    assert json.loads(run("verify", "video.ncv", "-k", "k.bin", "--json", cwd=work).stdout)["whole"] is True
    stream = subprocess.run(
        [NCIPHER, "open", "video.ncv", "-k", "k.bin", "-o", "-", "-q"], cwd=work, capture_output=True, check=True
    ).stdout
    assert stream.startswith(b"YUV4MPEG2 W96 H54 ")
    assert stream.count(b"FRAME\n") >= 6
    run("open", "video.ncv", "-k", "k.bin", "-o", "frames/", cwd=work)
    assert len(list((work / "frames").glob("*.png"))) == 6


def test_keygen_refuses_to_overwrite(work):
    assert (work / "k.bin").stat().st_mode & 0o777 == 0o600
    fails(work, 6, "exists already", "keygen", "k.bin")


def test_wrong_key_and_existing_output(work):
    fails(
        work, 5, "no key slot of video.ncv opens with this key", "open", "video.ncv", "-k", "other.bin", "-o", "x.mp4"
    )
    fails(work, 6, "exists already", "open", "video.ncv", "-k", "k.bin", "-o", "video.mp4")
    fails(work, 6, "exists already", "seal", "video.mp4", "-k", "k.bin")
    fails(work, 2, "no key was given", "open", "video.ncv")
    error = json.loads(run("open", "video.ncv", "-k", "other.bin", "-o", "x.mp4", "--json", cwd=work, code=5).stdout)
    assert set(error) == {"error", "hint", "exit_code"}


def test_rekey_and_passphrase(work):
    (work / "phrase").write_text("a long and private sentence\n")
    run("rekey", "video.ncv", "-k", "k.bin", "--add-passphrase-file", "phrase", "--add-key", "other.bin", cwd=work)
    run("rekey", "video.ncv", "-k", "other.bin", "--remove-slot", "0", cwd=work)
    fails(work, 5, "no key slot", "verify", "video.ncv", "-k", "k.bin")
    run("verify", "video.ncv", cwd=work, env={"NCIPHER_PASSPHRASE": "a long and private sentence"})
    run("rekey", "video.ncv", "-k", "other.bin", "--rotate", cwd=work)
    fails(work, 5, "", "verify", "video.ncv", "--passphrase-file", "phrase")
    run("open", "video.ncv", "-o", "rotated.mp4", cwd=work, env={"NCIPHER_KEY": "other.bin"})


def test_bare_warns_and_a_wrong_key_gives_a_picture(work):
    done = run("seal", "video.mp4", "-k", "k.bin", "-o", "b.ncv", "--suite", "bare", *FAST, cwd=work)
    assert "not encrypted" in done.stderr
    # Somebody may have put a bare bundle in the place of a sealed one.
    fails(work, 2, "b.ncv is a bare bundle, which anyone may have made", "open", "b.ncv", "-k", "k.bin", "-o", "x/")
    run("open", "b.ncv", "-k", "k.bin", "-o", "right/", "--bare", cwd=work)
    run("open", "b.ncv", "-k", "other.bin", "-o", "wrong/", "--bare", cwd=work)
    assert (work / "right/frame_000001.png").read_bytes() != (work / "wrong/frame_000001.png").read_bytes()
    (work / "phrase").write_text("words\n")
    fails(
        work,
        2,
        "exactly one key file",
        "seal",
        "video.mp4",
        "--passphrase-file",
        "phrase",
        "-o",
        "c.ncv",
        "--suite",
        "bare",
    )


@pytest.mark.parametrize(
    ("code", "sentence", "arguments"),
    [
        (2, "", ["seal", "absent.mp4", "-k", "k.bin"]),
        (4, "", ["seal", "text.mp4", "-k", "k.bin"]),
        (2, "", ["seal", "empty.mp4", "-k", "k.bin"]),
        (2, "", ["seal", "folder", "-k", "k.bin"]),
        (2, "absent.bin", ["seal", "video.mp4", "-o", "n.ncv", "-k", "absent.bin"]),
        (4, "short.bin", ["seal", "video.mp4", "-o", "n.ncv", "-k", "short.bin"]),
        (4, "video.ncv", ["open", "video.ncv", "-o", "n.mp4", "-k", "video.ncv"]),
        (4, "", ["open", "video.mp4", "-o", "n.mp4", "-k", "k.bin"]),
        (2, "did you mean latent", ["seal", "video.mp4", "-o", "n.ncv", "-k", "k.bin", "--flow", "latnet"]),
        (2, "no preset", ["seal", "video.mp4", "-o", "n.ncv", "-k", "k.bin", "--preset", "slow"]),
        (2, "no option 'nconv'", ["seal", "video.mp4", "-o", "n.ncv", "-k", "k.bin", "-O", "nconv=3"]),
        (2, "", ["seal", "video.mp4", "-o", "absent/n.ncv", "-k", "k.bin"]),
        (2, "", ["seal", "video.mp4", "-o", "link.ncv", "-k", "k.bin", "-f"]),
        (2, "", ["rekey", "video.ncv", "-k", "k.bin"]),
    ],
)
def test_bad_input_is_one_sentence(work, code, sentence, arguments):
    (work / "text.mp4").write_text("not a video\n" * 50)
    (work / "empty.mp4").touch()
    (work / "folder").mkdir()
    (work / "short.bin").write_bytes(bytes(31))
    os.link(work / "video.mp4", work / "link.ncv")
    fails(work, code, sentence, *arguments)


@pytest.mark.parametrize(
    ("sentence", "damage"),
    [
        ("", lambda data: data[: len(data) // 2]),
        ("", lambda data: data + b"more"),
        ("", lambda data: data[:8] + b"\2\0" + data[10:]),
        ("", lambda data: data[:12] + b"\xff\xff\xff\xff" + data[16:]),
        ("", lambda data: data[:-5000] + bytes([data[-5000] ^ 1]) + data[-4999:]),
    ],
)
def test_damaged_bundles_are_refused(work, sentence, damage):
    path = work / "video.ncv"
    path.write_bytes(damage(path.read_bytes()))
    fails(work, 4, sentence, "open", "video.ncv", "-k", "k.bin", "-o", "n.mp4")
    run("verify", "video.ncv", "-k", "k.bin", cwd=work, code=4)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_seal_leaves_no_bundle(work, number):
    arguments = [NCIPHER, "seal", "video.mp4", "-k", "k.bin", "-o", "n.ncv", "--budget", "100", "--scale", "96x-1"]
    with subprocess.Popen(arguments, cwd=work, stderr=subprocess.PIPE, start_new_session=True) as process:
        deadline = time.monotonic() + 600
        while not list(work.glob(".n.ncv.*")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, stderr = process.communicate(timeout=600)
    assert not (work / "n.ncv").exists()
    if number != signal.SIGKILL:
        assert process.returncode == 130
        assert stderr.endswith(b"ncipher: interrupted, nothing unfinished was left behind\n")
        assert not list(work.glob(".n.ncv.*"))


def test_a_full_disk_leaves_nothing(work):
    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    fails(work, 1, "n.ncv", "seal", "video.mp4", "-k", "k.bin", "-o", "n.ncv", *FAST, preexec_fn=limit)
    fails(work, 1, "n.mp4", "open", "video.ncv", "-k", "k.bin", "-o", "n.mp4", preexec_fn=limit)


def test_help_imports_no_torch():
    code = "import sys, neuralcipher.cli; sys.exit(bool({'torch', 'av'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_paper_flow_seals_and_opens(work):
    run(
        "seal",
        "video.mp4",
        "-k",
        "k.bin",
        "-o",
        "p.ncv",
        "--flow",
        "autoencoder",
        "-O",
        "nconv=4",
        "-O",
        "steps=5",
        "--generator",
        "chacha20",
        "--max-frames",
        "2",
        "--scale",
        "32x16",
        cwd=work,
    )
    run("open", "p.ncv", "-k", "k.bin", cwd=work)
    fails(work, 2, "trained on its keystream", "rekey", "p.ncv", "-k", "k.bin", "--rotate")

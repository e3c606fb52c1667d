"""What a terminal gets: tables in 80 columns with nothing cut, no escape sequence where nobody wants one."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from command import NCIPHER, clean_environment
from in_process import Here

import neuralcipher
from neuralcipher import Key, SealOptions
from neuralcipher.attacks.base import Measurement, catalogue
from neuralcipher.attacks.judge import Row, Verdict
from neuralcipher.cli import attack, compare
from neuralcipher.cli.console import columns
from neuralcipher.cli.many import Outcome, print_table
from neuralcipher.errors import VideoError
from neuralcipher.pipeline.comparing import ComparedRow, Comparison
from neuralcipher.pipeline.options import SealReport

ESCAPE = "\x1b"
LONG = "a_folder_with_a_long_name/and_one_more_of_that_kind/a_video_whose_name_has_no_space_in_it.mp4"


def in_a_terminal(program: list[str], folder: Path, **environment: str) -> str:
    """What a program writes onto a terminal of 80 columns, for its output and its messages."""
    leader, follower = pty.openpty()
    clean = {k: v for k, v in clean_environment().items() if k not in ("NO_COLOR", "FORCE_COLOR", "TERM")}
    environment = clean | {"COLUMNS": "80", "TERM": "xterm-256color"} | environment
    with subprocess.Popen(
        program, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=follower, stderr=follower
    ) as process:
        os.close(follower)
        seen = io.BytesIO()
        while True:
            try:
                piece = os.read(leader, 65_536)
            except OSError:  # Linux: the other end is closed
                break
            if not piece:
                break
            seen.write(piece)
        process.wait(timeout=600)
    os.close(leader)
    return seen.getvalue().decode()


PROGRESS = """
from neuralcipher.cli.console import attack_progress, progress_line
from neuralcipher.pipeline.options import Progress
with progress_line(quiet=False) as show:
    show(Progress("fitting", 0.5, 123456, 31.25, 123_400, 1023, 4096))
with progress_line(quiet=False) as show:
    show(Progress("fitting", 0.5, 123456, 31.25, 123_400))
with attack_progress(quiet=False) as show:
    show("known-plaintext-inversion", 0.5)
"""


def test_progress_is_whole_in_80_columns(tmp_path: Path) -> None:
    seen = in_a_terminal([sys.executable, "-c", PROGRESS], tmp_path)
    assert ESCAPE in seen
    assert "\N{HORIZONTAL ELLIPSIS}" not in seen
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen))
    assert 60 < max(map(len, lines)) <= 80
    for words in (
        "segment 1024 of 4096  31.25 dB  about 123.4 KB",
        "step 123456  31.25 dB",
        "known-plaintext-inversion",
    ):
        assert words in seen, words


def test_colours_can_be_read_on_light_and_on_dark(tmp_path: Path) -> None:
    """No yellow, cyan, green, white or black, of which a light or a dark ground hides one or the other."""
    told = 'from neuralcipher.cli.console import warn; warn("careful")'
    seen = in_a_terminal([sys.executable, "-c", PROGRESS + told], tmp_path)
    seen += in_a_terminal([NCIPHER, "info", "absent.ncv"], tmp_path)
    codes = {code for style in re.findall(r"\x1b\[([0-9;]*)m", seen) for code in style.split(";")}
    assert {"31", "35"} <= codes <= {"", "0", "1", "31", "35", "90"}


@pytest.mark.parametrize("wish", [{"NO_COLOR": "1"}, {"TERM": "dumb"}], ids=["no-color", "dumb"])
def test_no_escape_sequence_where_none_is_wanted(tmp_path: Path, wish: dict[str, str]) -> None:
    assert ESCAPE not in in_a_terminal([sys.executable, "-c", PROGRESS], tmp_path, **wish)
    asked = [NCIPHER, "info", "absent.ncv"]
    told = in_a_terminal(asked, tmp_path, **wish)
    assert told.splitlines() == [
        "ncipher: error: the bundle absent.ncv does not exist",
        "  hint: check the spelling of the path",
    ]
    assert ESCAPE in in_a_terminal(asked, tmp_path)  # else this test could not fail


def test_no_escape_sequence_into_a_pipe(tmp_path: Path) -> None:
    environment = clean_environment() | {"TERM": "xterm-256color"}
    for program in ([sys.executable, "-c", PROGRESS], [NCIPHER, "info", "absent.ncv"]):
        done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ESCAPE not in done.stdout + done.stderr


@pytest.fixture
def eighty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def narrow(text: str, width: int = 80) -> str:
    assert text
    assert [line for line in text.splitlines() if len(line) > width] == []
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    return text


def joined(text: str) -> str:
    """Without what separates and frames, so that a word that goes on in the next line is found again."""
    return "".join(character for character in text if character.isalnum() or character in "/_.:")


@pytest.mark.parametrize("width", [80, 60])
def test_the_list_of_attacks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert columns() == width
    text = narrow(Here(tmp_path, capsys)("attack", "--list").stdout, width)
    told = " ".join(text.split())
    for info in catalogue():
        assert info.statistic in told
        assert info.negative in told


def test_the_table_of_an_attack(capsys: pytest.CaptureFixture[str], eighty: None) -> None:
    unit = "of bytes changed by one flipped bit, from the weakest start, counted at every place of the latent"
    for info in catalogue():
        for measured in (None, Measurement(0.99609, unit, 9), Measurement(-1.234e-05, "r", 9)):
            attack._show_row(Row(info, Verdict.NOT_BROKEN, 1.0, target=measured, adjusted=1.2e-05))
    text = narrow(capsys.readouterr().out)
    told = " ".join(text.split())
    assert f"0.9961 {unit}" in told
    assert "-1.234e-05 r" in told
    assert "p 1.2e-05" in told


def test_the_table_of_a_comparison(capsys: pytest.CaptureFixture[str], eighty: None) -> None:
    figures = (123_456, 1234.0, 31.254, 0.98765, 0.99123, 12.345, 1234.0)
    rows = (
        ComparedRow("autoencoder", *figures, parameters=1_234_567, keyed=True),
        ComparedRow("libaom-AV1 cpu-used 4", *figures, note="crf 35"),
        ComparedRow(
            "recurrent", error="the flow recurrent needs more frames than there are, in a sentence that is long"
        ),
    )
    compare.show_table(Comparison("v.mp4", 9, 96, 54, 1.0, "ssim 7x7", rows))
    text = narrow(capsys.readouterr().out)
    assert "123.5 KB 1234x 31.25 0.9877 0.9912  12.345  1234 1.23M   yes" in text
    words = ["libaom-AV1", "cpu-used", "4", "crf", "35"]
    assert [word for word in text.split() if word in words] == words
    assert "in a sentence that is long" in " ".join(text.split())


def test_the_table_of_many_videos(capsys: pytest.CaptureFixture[str], eighty: None) -> None:
    video, bundle = Path(LONG), Path(LONG).with_suffix(".ncv")
    size = (123_456_789, 1, 1, 12_345, 1920, 1080, 31.25, 0.98, "ms-ssim 11x11", 12345.0)
    report = SealReport(str(bundle), *size, "sealed", "feistel", "latent", 1, ())
    error = VideoError(f"{LONG} is not a video that can be decoded")
    print_table([Outcome(video, bundle, report), Outcome(video, bundle, error=error), Outcome(Path("b.mp4"), bundle)])
    text = narrow(capsys.readouterr().out)
    for words in ("123.5 MB", "12345", "31.25 dB"):
        assert words in text
    cells = [[cell.strip() for cell in line.split("\N{BOX DRAWINGS LIGHT VERTICAL}")] for line in text.splitlines()]
    first = "".join(row[1] for row in cells if len(row) > 2)
    second = " ".join(row[2] for row in cells if len(row) > 2)
    assert first.count(LONG) == 2
    assert joined(f"failed: {error.message}") in joined(second)
    assert "there already" in second


def test_what_a_bundle_is(tmp_path: Path, capsys: pytest.CaptureFixture[str], eighty: None) -> None:
    keys = [Key(bytes([number]) * 32) for number in range(32)]
    options = SealOptions(flow="mlp", flow_options={"steps": 0}, generator="chacha20", scale="32x-1", max_frames=2)
    neuralcipher.seal(neuralcipher.demo_clip(), tmp_path / "v.ncv", keys=keys, options=options)
    keys[0].write(tmp_path / "k.bin")
    text = narrow(Here(tmp_path, capsys)("info", "v.ncv", "-k", "k.bin").stdout)
    assert text.count("key") == 32
    assert "  flow 0: " in text

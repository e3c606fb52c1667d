"""External batteries: what their programs print is read strictly; absent programs are no pass."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from generator_targets import SMALL, generator_subject
from scipy import stats

from neuralcipher.attacks.base import Verdict
from neuralcipher.attacks.generators import external_tools as tools
from neuralcipher.attacks.generators.external import ExternalBatteries
from neuralcipher.attacks.generators.external_tools import OutOfTime, Reading, UnreadableOutput
from neuralcipher.attacks.judge import run_attack
from neuralcipher.attacks.session import Settings

ENT = "0,File-bytes,Entropy,Chi-square,Mean,Monte-Carlo-Pi,Serial-Correlation\n"
RNGTEST = "rngtest: bits received from input: {}\nrngtest: FIPS 140-2 successes: {}\nrngtest: FIPS 140-2 failures: {}\n"
STS = """
 C1  C2  C3  C4  C5  C6  C7  C8  C9 C10  P-VALUE  PROPORTION  STATISTICAL TEST
------------------------------------------------------------------------------
 10  10  10  10  10  10  10  10  10  10  1.000000     99/100     Frequency
100   0   0   0   0   0   0   0   0   0  0.000000 *   40/100  *  BlockFrequency
  6   6   6   6   6   6   6   6   6   6     ----     60/60      RandomExcursions
"""
PRACTRAND = """RNG_test using PractRand version 0.94
rng=RNG_stdin8, seed=unknown
length= 8 megabytes (2^23 bytes), time= 2.8 seconds
  Test Name                         Raw       Processed     Evaluation
  [Low1/8]BCFN(2+0,13-5,T)          R= +34.3  p =  1.5e-13    FAIL
  Gap-16:A                          R=  -4.9  p =1-7.9e-4   unusual
  ...and 98 test result(s) without anomalies
"""


def p_values(readings: list[Reading]) -> list[float]:
    return [reading.p_value for reading in readings]


def program(folder: Path, name: str, body: str) -> None:
    """A program that reads its input to the end, then does what `body` says."""
    path = folder / name
    path.write_text(f"#!/bin/sh\ncat > /dev/null\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def test_ent_by_hand() -> None:
    size = 6_000_000
    found = tools.parse_ent(ENT + f"1,{size},7.9,254.33,127.5,3.141593,0.0\n", size)
    assert [reading.test for reading in found] == ["chi-square", "mean", "Monte Carlo pi", "serial correlation"]
    assert min(p_values(found)) > 0.9  # 254.33 is the median of chi-square on 255 degrees of freedom
    # 2.5 standard deviations: 2 P(Z > 2.5) = 0.012419. Of the mean one is sqrt(65535 / 12 / size) = 0.030170.
    row = f"1,{size},7.9,254.33,{127.5 + 2.5 * 0.030170:.6f},3.141593,{2.5 / size**0.5:.6f}\n"
    assert p_values(tools.parse_ent(ENT + row, size))[1::2] == pytest.approx([0.012419] * 2, rel=5e-3)
    too_even = tools.parse_ent(ENT + f"1,{size},8.0,96.6,127.5,3.141593,0.0\n", size)
    assert too_even[0].p_value < 1e-15


@pytest.mark.parametrize("text", ["", ENT, ENT + "1,7,8,255,127,3.14\n", ENT + "1,7,8,2x,127,3.14,0\n", "x" + ENT])
def test_ent_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UnreadableOutput):
        tools.parse_ent(text, 7)


def test_ent_that_did_not_read_all() -> None:
    with pytest.raises(UnreadableOutput, match="did not read all"):
        tools.parse_ent(ENT + "1,1000,7.9,254.3,127.5,3.14,0.0\n", 2000)


def test_rngtest_judges_the_rate() -> None:
    size = 2_500_004
    assert p_values(tools.parse_rngtest(RNGTEST.format(8 * size, 999, 1), size)) == pytest.approx([1 - 0.999**1000])
    assert p_values(tools.parse_rngtest(RNGTEST.format(8 * size, 1000, 0), size)) == [1.0]
    assert tools.parse_rngtest(RNGTEST.format(8 * size, 980, 20), size)[0].p_value < 1e-15
    with pytest.raises(UnreadableOutput, match="did not read all"):
        tools.parse_rngtest(RNGTEST.format(8 * size - 20_000, 999, 0), size)
    with pytest.raises(UnreadableOutput, match="failures"):
        tools.parse_rngtest("rngtest: bits received from input: 8\nrngtest: FIPS 140-2 successes: 0\n", 1)


def test_dieharder_rows() -> None:
    text = (
        "   sts_serial,   1,     20000,      10,0.25000000,  PASSED  \n sts_serial,   2, 20000, 10,0.00000000, FAILED\n"
    )
    found = tools.parse_dieharder(text, 10)
    assert p_values(found) == [0.25, 5e-9]
    assert [reading.said for reading in found] == ["PASSED", "FAILED"]
    for bad in ("", "# stdin_input_raw(): Error: EOF\n", "a, 1, 2, 10, nan, PASSED\n", "a, 1, 2, 9,0.5, PASSED\n"):
        with pytest.raises(UnreadableOutput):
            tools.parse_dieharder(bad, 10)
    with pytest.raises(UnreadableOutput):
        tools.parse_dieharder(text, 11)


def test_the_tests_that_dieharder_distrusts_are_not_run() -> None:
    assert not {test.number for test in tools.DIEHARDER} & {5, 6, 7, 14}


def test_practrand_by_hand() -> None:
    (found,) = tools.parse_practrand(PRACTRAND)
    assert found.p_value == pytest.approx(2 * 100 * 1.5e-13)
    assert "BCFN" in found.said
    upper = PRACTRAND.replace("1.5e-13", "0.31")
    assert tools.parse_practrand(upper)[0].p_value == pytest.approx(2 * 100 * 7.9e-4)
    clean = "rng=RNG_stdin8, seed=unknown\nlength= 8 megabytes\n  no anomalies in 124 test result(s)\n"
    # Only the last report counts: of all the data.
    assert p_values(tools.parse_practrand(PRACTRAND + clean)) == [1.0]
    for bad in ("", "rng=x\n", PRACTRAND.replace("1.5e-13", "tiny")):
        with pytest.raises(UnreadableOutput):
            tools.parse_practrand(bad)


def test_sts_by_hand() -> None:
    found = tools.parse_sts(STS, 100)
    assert len(found) == 6
    assert found[1].p_value == pytest.approx(1.0)
    assert found[0].p_value == pytest.approx(1.0)
    assert found[2].p_value < 1e-30
    assert found[3].p_value < 1e-12  # computed to about 1e-13; what is left of it depends on the processor
    assert found[4].p_value == 1.0  # 60 of 60: with failures at .009, the lower tail is .991^60 = .58
    with pytest.raises(UnreadableOutput, match="add up"):
        tools.parse_sts(STS, 99)
    with pytest.raises(UnreadableOutput, match="without rows"):
        tools.parse_sts("nothing", 100)


def test_sts_is_run_in_a_folder_of_its_own(tmp_path: Path) -> None:
    """Against a stand-in that checks what it is given and writes a report; the real one is not in Debian."""
    (tmp_path / "experiments" / "AlgorithmTesting" / "Frequency").mkdir(parents=True)
    (tmp_path / "templates").mkdir()
    (tmp_path / "report").write_text(STS)
    path = tmp_path / "assess"
    path.write_text(
        f'#!/bin/sh\nset -e\ntest "$1" = 1000000\ntest "$(cat | tr "\\n" " ")" = "0 data.bin 1 0 100 1 "\n'
        f"test -d experiments/AlgorithmTesting/Frequency\ntest -d templates\ntest $(wc -c < data.bin) = 12500000\n"
        f"cp {tmp_path}/report experiments/AlgorithmTesting/finalAnalysisReport.txt\n"
    )
    path.chmod(0o755)
    data = bytes(12_500_000)
    assert len(tools.read_sts(str(path), data, 60, True)) == 6
    assert tools.read_sts(str(path), data, 60, False) == []
    assert not (tmp_path / "experiments" / "AlgorithmTesting" / "finalAnalysisReport.txt").exists()
    shutil.rmtree(tmp_path / "templates")
    with pytest.raises(UnreadableOutput, match="templates"):
        tools.read_sts(str(path), data, 60, True)


def test_a_program_that_fails_or_hangs(tmp_path: Path) -> None:
    program(tmp_path, "bad", "exit 3")
    program(tmp_path, "slow", "exec sleep 60")
    with pytest.raises(UnreadableOutput, match="bad ended with status 3"):
        tools.run_program([str(tmp_path / "bad")], b"x" * 100_000, 10)
    with pytest.raises(OutOfTime, match="slow took longer"):
        tools.run_program([str(tmp_path / "slow")], b"", 0.2)


def test_nothing_installed_is_no_pass(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    row = run_attack(ExternalBatteries, generator_subject("chacha20"), Settings())
    assert row.verdict is Verdict.INCONCLUSIVE
    assert row.skipped == ("none of NIST STS (assess), dieharder, ent, rngtest, PractRand (RNG_test) is installed")
    assert row.target is None


def test_an_unreadable_program_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program(tmp_path, "ent", "echo nonsense")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    monkeypatch.setattr(tools, "TOOLS", tuple(tool for tool in tools.TOOLS if tool.name == "ent"))
    row = run_attack(ExternalBatteries, generator_subject("chacha20"), Settings())
    assert row.verdict is Verdict.ERROR
    assert "UnreadableOutput" in row.error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ent", "rngtest", "dieharder"])
def test_each_program_alone(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With the real program: its controls hold, an autoregressive g or a drift is broken, a cipher is not."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    monkeypatch.setattr(tools, "TOOLS", tuple(tool for tool in tools.TOOLS if tool.name == name))
    large = (3, 128, 128)
    row = run_attack(ExternalBatteries, generator_subject("contracting", large), Settings())
    assert row.error == ""
    assert row.verdict is Verdict.BROKEN
    assert row.target is not None
    assert "not installed: " in row.target.note
    assert row.negative is not None
    assert np.isfinite(row.negative.value)


def test_a_late_program_is_not_decided(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One program answers well, another not in time: the row says so and does not call that a pass."""

    def answers(path: str, data: bytes, seconds: float, full: bool) -> list[Reading]:
        ones = int(np.unpackbits(np.frombuffer(data, dtype=np.uint8)).sum())
        p_value = float(2 * stats.norm.sf(abs(ones - 4 * len(data)) / np.sqrt(2 * len(data))))
        return [Reading("good", "ones", p_value, str(ones))]

    def hangs(path: str, data: bytes, seconds: float, full: bool) -> list[Reading]:
        raise OutOfTime("late took longer than 1 s")

    program(tmp_path, "good", "")
    monkeypatch.setattr(tools, "TOOLS", (tools.Tool("good", "good", answers), tools.Tool("late", "good", hangs)))
    monkeypatch.setenv("PATH", str(tmp_path))
    row = run_attack(ExternalBatteries, generator_subject("chacha20", SMALL), Settings())
    assert row.negative is not None
    assert not row.negative.decidable
    assert "late took longer" in row.negative.note
    assert row.verdict is Verdict.INCONCLUSIVE

"""Batteries that others wrote, run as programs: what they are fed, and a strict reading of what they print.

Data goes in by a pipe, from the beginning for each program and test, and is always enough: a battery that rewinds its
input, or stops at its end, gives p-values that mean nothing. What cannot be read raises UnreadableOutput.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from neuralcipher.attacks.generators.sp800_22.assessment import proportion_p, uniformity_p

RNGTEST_FAILURES = 0.001
"""Share of 20,000-bit blocks that fail FIPS 140-2 by chance, at most: of 160,000 ideal ones 134 did, .00084."""

_STS_BAND = (0.009, 0.0135)
"""Between which chances ideal sequences fail a row: its constants are rounded, and so are some of its laws."""

_STS_FILES = ("experiments", "templates")
_SMALLEST_PRINTED = 5e-9
"""dieharder prints eight decimals: 0.00000000 is below this."""


class UnreadableOutput(Exception):  # noqa: N818  (of another program; it becomes the row's error)
    """A program ended otherwise than it should, or printed what this module does not know."""


class OutOfTime(Exception):  # noqa: N818
    """A program took longer than it was given."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One p-value of a program. said: its own words or figures, for the report."""

    tool: str
    test: str
    p_value: float
    said: str


@dataclass(frozen=True, slots=True)
class Tool:
    """program: looked up on PATH. read: (path of the program, data, seconds it may take, whether the run is full)."""

    name: str
    program: str
    read: Callable[[str, bytes, float, bool], list[Reading]]


def installed() -> list[tuple[Tool, str]]:
    """The tools that are on PATH, with their paths."""
    found = [(tool, shutil.which(tool.program)) for tool in TOOLS]
    return [(tool, path) for tool, path in found if path is not None]


def run_program(
    command: Sequence[str], data: bytes, seconds: float, *, codes: Sequence[int] = (0,), folder: Path | None = None
) -> tuple[str, str]:
    """(stdout, stderr) of a program that is fed `data`; it may stop reading before the end.

    Raises OutOfTime, or UnreadableOutput for an exit status other than `codes`.
    """
    try:
        done = subprocess.run(  # noqa: S603  (a fixed list of programs, no shell)
            list(command),
            input=data,
            capture_output=True,
            timeout=seconds,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise OutOfTime(f"{Path(command[0]).name} took longer than {seconds:.0f} s") from None
    out, err = done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")
    if done.returncode not in codes:
        raise UnreadableOutput(f"{Path(command[0]).name} ended with status {done.returncode}")
    return out, err


def parse_ent(text: str, size: int) -> list[Reading]:
    """The terse output of ent for `size` bytes: chi-square, mean, Monte Carlo pi and serial correlation, two-sided.

    Laws of independent uniform bytes: chi-square on 255 degrees of freedom; normal with variance (256^2 - 1) / 12 / n;
    points of six bytes in a quarter circle, binomial; normal with variance 1 / n.
    """
    lines = text.split()
    if len(lines) != 2 or lines[0] != "0,File-bytes,Entropy,Chi-square,Mean,Monte-Carlo-Pi,Serial-Correlation":
        raise UnreadableOutput("ent printed no table of one row")
    try:
        row, count, _, chi_square, mean, pi, correlation = (float(cell) for cell in lines[1].split(","))
    except ValueError:
        raise UnreadableOutput("ent printed a row that is no list of numbers") from None
    if row != 1 or count != size:
        raise UnreadableOutput("ent did not read all of its input")
    points = size // 6
    inside = round(pi / 4 * points)
    z_mean = (mean - 127.5) / np.sqrt((256**2 - 1) / 12 / size)
    found = {
        "chi-square": (two_sided(stats.chi2.cdf(chi_square, 255), stats.chi2.sf(chi_square, 255)), chi_square),
        "mean": (two_sided(stats.norm.cdf(z_mean), stats.norm.sf(z_mean)), mean),
        "Monte Carlo pi": (
            two_sided(stats.binom.cdf(inside, points, np.pi / 4), stats.binom.sf(inside - 1, points, np.pi / 4)),
            pi,
        ),
        "serial correlation": (float(2 * stats.norm.sf(abs(correlation) * np.sqrt(size))), correlation),
    }
    return [Reading("ent", name, p_value, f"{value:g}") for name, (p_value, value) in found.items()]


def two_sided(low: float, high: float) -> float:
    """Twice the smaller tail, at most 1."""
    return min(1.0, 2 * float(min(low, high)))


def read_ent(path: str, data: bytes, seconds: float, full: bool) -> list[Reading]:
    return parse_ent(run_program([path, "-t"], data, seconds)[0], len(data))


def parse_rngtest(text: str, size: int) -> list[Reading]:
    """The summary of rngtest, from its stderr: the *rate* of failing blocks, since some 0.08 % of ideal ones fail."""
    numbers = {}
    for key in ("bits received from input", "FIPS 140-2 successes", "FIPS 140-2 failures"):
        match = re.search(rf"^rngtest: {key}: (\d+)$", text, re.MULTILINE)
        if match is None:
            raise UnreadableOutput(f"rngtest does not say its {key!r}")
        numbers[key] = int(match[1])
    passed, failed = numbers["FIPS 140-2 successes"], numbers["FIPS 140-2 failures"]
    # It reads 32 bits ahead of its first block, for the continuous test, and drops what does not fill a block.
    if numbers["bits received from input"] != 8 * size or passed + failed != (8 * size - 32) // 20_000:
        raise UnreadableOutput("rngtest did not read all of its input")
    p_value = float(stats.binom.sf(failed - 1, passed + failed, RNGTEST_FAILURES))
    return [Reading("rngtest", "FIPS 140-2", p_value, f"{failed} of {passed + failed} blocks fail")]


def read_rngtest(path: str, data: bytes, seconds: float, full: bool) -> list[Reading]:
    return parse_rngtest(run_program([path], data, seconds, codes=(0, 1))[1], len(data))


@dataclass(frozen=True, slots=True)
class _Dieharder:
    """number: as `dieharder -l` has it. samples, quick, full: -t and -p. ntuple: -n. bytes_each: read per sample."""

    number: int
    samples: int
    quick: int
    full: int
    bytes_each: float
    ntuple: int | None = None

    def bytes_needed(self, full: bool) -> float:
        return self.samples * (self.full if full else self.quick) * self.bytes_each


DIEHARDER: tuple[_Dieharder, ...] = (
    _Dieharder(1, 50_000, 10, 50, 4),
    _Dieharder(2, 500, 20, 100, 128),
    _Dieharder(3, 2000, 20, 100, 24),
    _Dieharder(13, 2000, 10, 50, 100),
    _Dieharder(16, 2000, 20, 100, 30),
    _Dieharder(17, 20_000, 10, 50, 8),
    _Dieharder(100, 20_000, 20, 100, 4),
    _Dieharder(101, 4000, 20, 100, 4),
    _Dieharder(200, 4000, 10, 50, 32, ntuple=4),
    _Dieharder(202, 5000, 20, 100, 20, ntuple=5),
    _Dieharder(203, 10_000, 20, 100, 16, ntuple=3),
    _Dieharder(205, 20_000, 10, 50, 12),
    _Dieharder(209, 100_000, 1, 1, 4),
)
"""Of the tests called good, those whose least p-values are not too frequent at these sizes: on 60 ideal streams none
had more than 1 below .01, and on 20 of a full run's size more than 2. Others are not valid with so few samples (4, 8,
9, 11) or too slow. The tests called "suspect" and "do not use" (5, 6, 7, 14) are left out."""


def parse_dieharder(text: str, psamples: int) -> list[Reading]:
    """Rows of -c , -D test_name -D ntuple -D tsamples -D psamples -D pvalues -D assessment.

    The p-value is of a Kolmogorov-Smirnov test; a small one is evidence, one near 1 is not counted.
    """
    readings = []
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) != 6 or not re.fullmatch(r"[01]\.\d{8}", cells[4]) or cells[3] != str(psamples):
            raise UnreadableOutput("dieharder printed a row that is none")
        readings.append(
            Reading("dieharder", f"{cells[0]} {cells[1]}", max(float(cells[4]), _SMALLEST_PRINTED), cells[5])
        )
    if not readings:
        raise UnreadableOutput("dieharder printed nothing: it may have come to the end of its input")
    return readings


def read_dieharder(path: str, data: bytes, seconds: float, full: bool) -> list[Reading]:
    readings = []
    for test in DIEHARDER:
        if test.bytes_needed(full) > len(data):
            raise UnreadableOutput(f"dieharder's test {test.number} would need more data than it is given")
        psamples = test.full if full else test.quick
        command = [path, "-g", "200", "-d", str(test.number), "-t", str(test.samples), "-p", str(psamples), "-c", ","]
        for column in ("test_name", "ntuple", "tsamples", "psamples", "pvalues", "assessment"):
            command += ["-D", column]
        if test.ntuple is not None:
            command += ["-n", str(test.ntuple)]
        out, err = run_program(command, data, seconds)
        if "EOF" in err:
            raise UnreadableOutput(f"dieharder's test {test.number} came to the end of its input")
        for number, reading in enumerate(parse_dieharder(out, psamples), start=1):
            readings.append(Reading(reading.tool, f"{reading.test} #{number}", reading.p_value, reading.said))
    return readings


def parse_practrand(text: str) -> list[Reading]:
    """The last report of RNG_test: its worst result, two-sided, times the number of results (Bonferroni).

    Its p-values are its own estimates, printed for the results that it finds unusual: "p = 1.5e-13", "p =1-7.9e-6".
    """
    report = text.rpartition("rng=")[2]
    clean = re.search(r"no anomalies in (\d+) test result", report)
    if clean is not None:
        return [Reading("PractRand", "worst of its tests", 1.0, f"no anomalies in {clean[1]} results")]
    rows = re.findall(r"^\s+(\S+)\s+R=\s*\S+\s+p\s*~?=\s*(\S+)\s+(.+?)\s*$", report, re.MULTILINE)
    rest = re.search(r"\.\.\.and (\d+) test result", report)
    if not rows:
        raise UnreadableOutput("RNG_test printed neither anomalies nor their absence")
    count = len(rows) + (int(rest[1]) if rest is not None else 0)
    tails: list[tuple[float, str]] = []
    for name, printed, verdict in rows:
        match = re.fullmatch(r"(1-)?(\d[\d.]*(?:e[+-]?\d+)?)", printed)
        if match is None:
            raise UnreadableOutput("RNG_test printed a p-value that is none")
        p = float(match[2])
        tails.append((p if match[1] else min(p, 1 - p), f"{name}: p = {printed}, {verdict}"))
    smallest, said = min(tails)
    return [Reading("PractRand", "worst of its tests", min(1.0, 2 * count * smallest), said)]


def read_practrand(path: str, data: bytes, seconds: float, full: bool) -> list[Reading]:
    length = f"{1 << (len(data) >> 20).bit_length() - 1}MB"
    out, _ = run_program([path, "stdin8", "-tlmin", length, "-tlmax", length], data, seconds)
    return parse_practrand(out)


def parse_sts(text: str, sequences: int) -> list[Reading]:
    """finalAnalysisReport.txt of NIST's programs: proportion and uniformity of each row, from its counts.

    Two p-values a row: Pearson's statistic of the ten bins, and the binomial of those that pass at .01, both exact.
    """
    row = re.compile(r"^\s*((?:\d+\s+){10})(?:[\d.]+|-+)\s*\*?\s+(\d+)/(\d+)\s*\*?\s+(\S+)\s*$")
    readings: list[Reading] = []
    for line in text.splitlines():
        match = row.match(line)
        if match is None:
            continue
        bins, passed, total = [int(n) for n in match[1].split()], int(match[2]), int(match[3])
        if sum(bins) != total or not passed <= total <= sequences:
            raise UnreadableOutput("assess printed counts that do not add up")
        name, said = f"{match[4]} #{len(readings) // 2 + 1}", f"{passed}/{total} pass, tenths {bins}"
        proportion = proportion_p(total - passed, total, _STS_BAND)
        uniformity = uniformity_p(np.repeat((np.arange(10) + 0.5) / 10, bins))
        readings += [
            Reading("NIST STS", f"{name}, proportion", proportion, said),
            Reading("NIST STS", f"{name}, uniformity", uniformity, said),
        ]
    if not readings:
        raise UnreadableOutput("assess wrote a report without rows")
    return readings


def read_sts(path: str, data: bytes, seconds: float, full: bool) -> list[Reading]:
    """In a folder of its own, with copies of the empty folders and links to the templates beside the program.

    Sequences of a million bits, which takes minutes: nothing is read in a quick run.
    """
    if not full:
        return []
    bits = 1_000_000
    sequences = min(100, 8 * len(data) // bits)
    home = Path(path).resolve().parent
    if not all((home / name).is_dir() for name in _STS_FILES):
        raise UnreadableOutput("assess stands without its folders 'experiments' and 'templates'")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for known in (home / "experiments").rglob("*"):
            if known.is_dir():
                (folder / "experiments" / known.relative_to(home / "experiments")).mkdir(parents=True, exist_ok=True)
        (folder / "templates").symlink_to(home / "templates")
        (folder / "data.bin").write_bytes(data)
        answers = f"0\ndata.bin\n1\n0\n{sequences}\n1\n".encode()
        run_program([path, str(bits)], answers, seconds, folder=folder)
        report = folder / "experiments" / "AlgorithmTesting" / "finalAnalysisReport.txt"
        if not report.is_file():
            raise UnreadableOutput("assess wrote no report")
        return parse_sts(report.read_text(encoding="utf-8", errors="replace"), sequences)


TOOLS: tuple[Tool, ...] = (
    Tool("NIST STS", "assess", read_sts),
    Tool("dieharder", "dieharder", read_dieharder),
    Tool("ent", "ent", read_ent),
    Tool("rngtest", "rngtest", read_rngtest),
    Tool("PractRand", "RNG_test", read_practrand),
)

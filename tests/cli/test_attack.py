"""`ncipher attack`, as a user types it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import jsonschema
import pytest
from command import FAST, NCIPHER, fails, forked, run

import neuralcipher

SMALL = ("--shape", "3x16x16", "--jobs", "1")
SCHEMA = os.path.join(os.path.dirname(neuralcipher.__file__), "data", "attack-report.schema.json")


def report_of(text: str) -> dict:
    report = json.loads(text)
    with open(SCHEMA) as file:
        jsonschema.validate(report, json.load(file))
    return report


def test_the_catalogue_is_listed(work):
    listed = json.loads(forked("attack", "--list", "--json", "-", cwd=work).stdout)["attacks"]
    assert [attack["number"] for attack in listed] == list(range(1, 26))
    assert all(attack[field] for attack in listed for field in ("statistic", "null", "rule", "positive", "failure"))
    text = forked("attack", "--list", cwd=work).stdout
    assert " 1 key-ladder" in text
    assert "25 timing" in text


def test_a_weak_generator_is_broken_and_a_strong_one_is_not(work):
    weak = forked(
        "attack", "--generator", "weak-identity", *SMALL, "--only", "avalanche", "--only", "collisions",
        "--json", "r.json", "--html", "r.html", cwd=work, code=1,
    )  # fmt: skip
    assert "16 avalanche" in weak.stdout
    assert "verdict: BROKEN (2 attacks run" in weak.stdout
    report = report_of((work / "r.json").read_text())
    assert report["verdict"] == "BROKEN"
    assert [row["name"] for row in report["attacks"]] == ["avalanche", "collisions"]
    assert "<html" in (work / "r.html").read_text()
    strong = forked("attack", "--generator", "chacha20", *SMALL, "--only", "avalanche", "--json", "-", cwd=work)
    report = report_of(strong.stdout)
    assert report["attacks"][0]["verdict"] == "NOT BROKEN AT BUDGET"
    assert all(report["attacks"][0]["controls"][name] for name in ("positive", "negative"))


def test_the_seed_decides(work):
    def values(seed: str, jobs: str) -> list:
        only = ("--only", "avalanche", "--only", "weak-keys")
        arguments = ("--generator", "feistel", "--shape", "3x16x16", *only, "--seed", seed, "--jobs", jobs)
        done = run("attack", *arguments, "--json", "-", cwd=work)
        return [(row["name"], row["value"], row["p_value"]) for row in json.loads(done.stdout)["attacks"]]

    first = values("1", "1")
    assert values("1", "2") == first
    assert values("2", "1") != first


def test_a_bundle_and_what_lies_behind_its_outer_layer(work):
    outside = run("attack", "video.ncv", "-k", "k.bin", "--only", "avalanche", "--only", "container", cwd=work)
    assert "24 container" in outside.stdout
    assert "1 had nothing to attack" in outside.stdout
    assert "--assume-opened looks behind it" in outside.stderr
    alone = ("--only", "avalanche", "--jobs", "1")
    inside = forked("attack", "video.ncv", "-k", "k.bin", *alone, "--assume-opened", cwd=work)
    assert "verdict: NOT BROKEN AT BUDGET (1 attacks run" in inside.stdout
    report = forked("attack", "video.ncv", "-k", "k.bin", *alone, "--json", "-", cwd=work, code=3).stdout
    assert (work / "k.bin").read_bytes().hex() not in report


def test_a_passphrase_will_do(work):
    (work / "phrase").write_text("words\n")
    forked("seal", "video.mp4", "--passphrase-file", "phrase", "-o", "p.ncv", *FAST, cwd=work)
    attack = ("attack", "p.ncv", "--passphrase-file", "phrase", "--only", "cycles")
    done = forked(*attack, "--assume-opened", "--jobs", "1", cwd=work)
    assert "8 cycles" in done.stdout


@pytest.mark.parametrize(("jobs", "folder"), [("1", "tmp"), ("2", "tmp"), ("2", "t" * 90)])
def test_no_copy_of_the_bundle_is_left(work, jobs, folder):
    """Attacks on a file of passphrases work on copies that a key file opens too; sockets have no room in long paths."""
    (work / "phrase").write_text("words\n")
    (work / folder).mkdir()
    run("seal", "video.mp4", "--passphrase-file", "phrase", "-o", "p.ncv", *FAST, cwd=work)
    arguments = ("attack", "p.ncv", "--passphrase-file", "phrase", "--only", "timing", "--jobs", jobs)
    done = run(*arguments, cwd=work, env={"TMPDIR": str(work / folder)}, code=None)
    assert "25 timing" in done.stdout
    assert not [path.name for path in (work / folder).iterdir() if not path.name.startswith("pymp-")]


@pytest.mark.parametrize(
    ("code", "sentence", "arguments"),
    [
        (2, "no attack is called 'avalanch'", ["--generator", "feistel", "--only", "avalanch"]),
        (2, "did you mean avalanche", ["--generator", "feistel", "--skip", "avalanch", "--jobs", "2"]),
        (2, "no generator is called 'feistl'", ["--generator", "feistl"]),
        (2, "no planted generator", ["--generator", "weak-thing"]),
        (2, "name one target", []),
        (2, "name one target", ["video.ncv", "--generator", "feistel"]),
        (2, "no option 'turns'", ["--generator", "feistel", "-O", "turns=2"]),
        (2, "is not an option of a generator", ["--generator", "feistel", "-O", "rounds=two"]),
        (2, "'3x3' is not a latent shape", ["--generator", "feistel", "--shape", "3x3"]),
        (2, "below the 256 bytes", ["--generator", "feistel", "--shape", "1x2x2"]),
        (4, "above the limit", ["--generator", "feistel", "--shape", "999x99999x99999"]),
        (2, "a budget is a positive number", ["--generator", "feistel", "--budget", "0"]),
        (2, "jobs must be 1 or more", ["--generator", "feistel", "--jobs", "0"]),
        (2, "--assume-opened is for a sealed bundle", ["--generator", "feistel", "--assume-opened"]),
        (2, "the folder of no/r.json does not exist", ["--generator", "feistel", "--json", "no/r.json"]),
        (6, "exists already", ["--generator", "feistel", "--html", "video.mp4"]),
        (2, "absent.ncv", ["absent.ncv", "-k", "k.bin"]),
        (4, "", ["video.mp4", "-k", "k.bin"]),
        (5, "no key slot of video.ncv opens with this key", ["video.ncv", "-k", "other.bin"]),
    ],
)
def test_bad_input(work, code, sentence, arguments):
    one = () if "--jobs" in arguments else ("--jobs", "1")  # else a process begins to import every attack
    fails(work, code, sentence, "attack", *arguments, *one)


def test_a_damaged_bundle(work):
    data = bytearray((work / "video.ncv").read_bytes())
    data[-100] ^= 1
    (work / "damaged.ncv").write_bytes(data)
    fails(work, 4, "damaged.ncv", "attack", "damaged.ncv", "-k", "k.bin", "--assume-opened", "--jobs", "1")


def test_a_budget_too_small_for_a_decision(work):
    done = forked(
        "attack", "--generator", "chacha20", "--only", "battery", "--budget", "0.001", *SMALL, cwd=work, code=3
    )
    assert "INCONCLUSIVE" in done.stdout


def test_stopping_keeps_what_was_finished_and_resuming_goes_on(work):
    # The first takes no time, the second some seconds; a line in the journal says that the first is done.
    only = [part for name in ("state-to-future", "cycles", "avalanche") for part in ("--only", name)]
    command = ["attack", "--generator", "feistel", *SMALL, *only, "--resume", "run", "-q"]
    process = subprocess.Popen(
        [NCIPHER, *command, "--json", "part.json"], cwd=work, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    folder = work / "run"
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and not any(f.read_bytes().count(b"\n") for f in folder.glob("*.jsonl")):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "stopped before the end" in out
    report = report_of((work / "part.json").read_text())
    assert report["partial"] is True
    finished = [row["name"] for row in report["attacks"]]
    assert 1 <= len(finished) < 3
    (journal,) = folder.glob("*.jsonl")
    kept = journal.read_text().splitlines()[: len(finished)]
    forked(*command, "--json", "whole.json", cwd=work)
    assert journal.read_text().splitlines()[: len(finished)] == kept
    whole = report_of((work / "whole.json").read_text())
    assert len(whole["attacks"]) == 3
    assert whole["partial"] is False

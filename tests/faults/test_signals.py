"""SIGTERM, SIGINT and SIGHUP: exit code 130, one sentence, and no temporary file."""

from __future__ import annotations

import signal

import pytest
from fault_parts import CHANGES, COMMANDS, REMOVE, SIGNAL, SIGNALS, Ground, disturbed, is_checkpoint, judge, listing

SENTENCE = "ncipher: interrupted, nothing unfinished was left behind\n"


@pytest.mark.parametrize("name", ["rekey", "mp4", "png-force", "seal"])
def test_a_signal_at_every_file_operation(ground: Ground, name: str) -> None:
    """One of the three in turn; run.py sends each at each."""
    command = COMMANDS[name]
    _, count = ground.undisturbed(command)
    for at in range(1, count + 1):
        number = list(SIGNALS.values())[at % 3]
        done, _, left = disturbed(ground, command, mode=SIGNAL, number=number, classes=CHANGES, at=at)
        assert done.met
        assert [name for name in left if not is_checkpoint(command, name)] == []
        assert done.code == 130
        assert done.stderr.startswith("ncipher: interrupted, ")
        assert done.stderr.count("\n") == 1


def test_a_signal_while_the_temporary_file_is_removed(ground: Ground) -> None:
    """A closing terminal sends SIGHUP, and the shell SIGTERM right after it."""
    command = COMMANDS["mp4"]
    reference, _ = ground.undisturbed(command)
    again = (
        "import os, signal\n"
        "unlink = os.unlink\n"
        "def twice(*arguments, **more):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    return unlink(*arguments, **more)\n"
        "os.unlink = twice\n"
    )
    with ground.folder(command) as folder:
        before = listing(folder)
        fault = {"mode": SIGNAL, "number": signal.SIGHUP, "classes": CHANGES & ~REMOVE, "at": 4, "before": again}
        done = ground.nursery.run(folder, *command.arguments, **fault)
        assert (done.code, done.stderr) == (130, SENTENCE)
        assert judge(command, folder, before, reference) == "old"
        assert listing(folder) == before


def test_a_signal_that_was_ignored_stays_ignored(ground: Ground) -> None:
    """nohup starts a command with SIGHUP ignored, so that a closing terminal does not end it."""
    command = COMMANDS["mp4"]
    ignored = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    done, state, _ = disturbed(
        ground, command, mode=SIGNAL, number=signal.SIGHUP, classes=CHANGES, at=4, before=ignored
    )
    assert (done.met, done.code, state) == (True, 0, "new")

"""Inputs that change while they are read, a clock that goes backwards, and two commands with one output."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from fault_parts import COMMANDS, READ, SIGNAL, Command, Done, Ground, is_bundle, judge, listing

STOP = {"mode": SIGNAL, "number": signal.SIGSTOP, "classes": READ}


def replaced(path: Path) -> None:
    """As a careful program does: another file under the same name."""
    path.with_name("other").write_bytes(b"another file" * 1000)
    path.with_name("other").replace(path)


def truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 3)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def overwritten(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"another file" * (path.stat().st_size // 12))


def meanwhile(ground: Ground, command: Command, folder: Path, at: int, change) -> Done:
    """Stop the command before its n-th read, change the input, and let it go on."""
    source = folder / command.arguments[1]
    pid = ground.nursery.start(folder, *command.arguments, **STOP, at=at)
    assert ground.nursery.wait(pid) is None
    change(source)
    os.kill(pid, signal.SIGCONT)
    done = ground.nursery.wait(pid)
    assert done is not None
    return done


@pytest.mark.parametrize("change", [replaced, truncated, emptied, overwritten])
@pytest.mark.parametrize("name", ["mp4", "seal", "rekey", "rotate"])
def test_an_input_that_changes_while_it_is_read(ground: Ground, name: str, change) -> None:
    """Before the first read, in the middle, and before the last: an honest end, and never half an output."""
    command = COMMANDS[name]
    reference, count = ground.undisturbed(command, READ)
    for at in sorted({1, 2, count // 2, count - 1, count}):
        with ground.folder(command) as folder:
            done = meanwhile(ground, command, folder, at, change)
            assert done.code in (0, 2, 4), done.stderr
            assert "Traceback" not in done.stderr
            left = {path.name for path in folder.iterdir()} - {"video.mp4", "video.ncv", "k.bin", "other.bin"}
            if command.old:  # rekey wrote over its own input, or left what the other program had made of it
                assert left == set()
                if done.code == 0 and change is replaced:
                    assert is_bundle(folder / command.target, reference)
            elif done.code == 0:
                assert left == {command.target}
                assert command.whole(folder / command.target, reference)
            else:
                assert left == set()


@pytest.mark.parametrize("name", ["mp4", "seal"])
def test_a_clock_that_goes_backwards(ground: Ground, name: str) -> None:
    """Wall clocks are set back by people and by NTP: times and budgets come from another one."""
    command = COMMANDS[name]
    reference, _ = ground.undisturbed(command)
    back = (
        "import itertools, time\n"
        "steps = itertools.count()\n"
        "time.time = lambda: 2e9 - 1000 * next(steps)\n"
        "time.time_ns = lambda: int(time.time() * 1e9)\n"
    )
    with ground.folder(command) as folder:
        before = listing(folder)
        done = ground.nursery.run(folder, *command.arguments, "--json", before=back)
        assert done.code == 0, done.stderr
        assert judge(command, folder, before, reference) == "new"
        assert '"seconds": -' not in done.stdout


@pytest.mark.parametrize("name", ["seal", "mp4", "png"])
def test_two_commands_with_one_output(ground: Ground, name: str) -> None:
    """One wins, the other is refused, whoever starts first: both are let go just before they publish."""
    command = COMMANDS[name]
    reference, _ = ground.undisturbed(command)
    with ground.folder(command) as folder:
        before = listing(folder)
        done = _both(ground, command, folder)
        assert sorted(one.code for one in done) == [0, 6]
        assert sum("exists already" in one.stderr for one in done) == 1
        assert judge(command, folder, before, reference) == "new"
        assert set(listing(folder)) - set(before) == {n for n in listing(folder) if n.split("/")[0] == command.target}


@pytest.mark.parametrize("name", ["seal-force", "mp4-force", "png-force", "rekey"])
def test_two_commands_that_overwrite_one_output(ground: Ground, name: str) -> None:
    """One whole file remains."""
    command = COMMANDS[name]
    reference, _ = ground.undisturbed(command)
    with ground.folder(command) as folder:
        before = listing(folder)
        done = _both(ground, command, folder)
        assert [one.code for one in done] == [0, 0], [one.stderr for one in done]
        assert judge(command, folder, before, reference) == "new"
        assert {n.split("/")[0] for n in listing(folder)} == {n.split("/")[0] for n in before}


def _both(ground: Ground, command: Command, folder: Path) -> list[Done]:
    """How two of the same end that are let go together, just before they publish."""
    both = [ground.nursery.start(folder, *command.arguments, **_before_publishing(ground, command)) for _ in "ab"]
    assert [ground.nursery.wait(pid) for pid in both] == [None, None]
    for pid in both:
        os.kill(pid, signal.SIGCONT)
    done = [ground.nursery.wait(pid) for pid in both]
    assert None not in done
    return [one for one in done if one is not None]


def _before_publishing(ground: Ground, command: Command) -> dict[str, int]:
    """Stop at the chmod, the last thing before the output gets its name."""
    from fault_parts import MODE

    return {"mode": SIGNAL, "number": signal.SIGSTOP, "classes": MODE, "at": 1}

"""kill -9 at every file operation and at random moments: the old file is intact, or the new one complete."""

from __future__ import annotations

import random
import signal

import pytest
from fault_parts import (
    CHANGES,
    COMMANDS,
    COUNT,
    CREATE,
    DELAY,
    EVERY,
    SIGNAL,
    Ground,
    disturbed,
    is_checkpoint,
    judge,
    leftovers,
    listing,
)

SEED = 7


@pytest.mark.parametrize("name", EVERY)
def test_a_kill_at_every_file_operation(ground: Ground, name: str) -> None:
    """The n-th operation is not made; a write is torn in the middle."""
    command = COMMANDS[name]
    _, count = ground.undisturbed(command)
    states = []
    for at in range(1, count + 1):
        done, state, _ = disturbed(ground, command, mode=SIGNAL, number=signal.SIGKILL, classes=CHANGES, at=at)
        assert done.met
        assert done.code == -signal.SIGKILL
        states.append(state)
    # Old up to one moment, new from then on: the change is one step.
    assert states == sorted(states, reverse=True)
    assert states[0] == "old"
    assert states[-1] == "new"


@pytest.mark.parametrize("name", ["rekey", "mp4", "seal"])
def test_a_kill_at_random_moments(ground: Ground, name: str) -> None:
    """One in each eighth of the time that the command just took, from its first file on. run.py does 50 of each."""
    command, draw = COMMANDS[name], random.Random(f"{SEED} {name}")
    took_us = disturbed(ground, command, mode=COUNT, classes=CHANGES)[0].took_us
    delays_us = [round(took_us * (eighth + draw.random()) / 8) for eighth in range(8)]
    killed = 0
    while delays_us:
        delay_us = delays_us.pop()
        print(f"seed {SEED}: {name} killed after {delay_us} us")
        done, _, _ = disturbed(
            ground, command, mode=DELAY, number=signal.SIGKILL, classes=CREATE, at=1, delay_us=delay_us
        )
        assert done.code in (0, -signal.SIGKILL)
        killed += done.code != 0
        if not delays_us and not killed and delay_us:  # it was faster this time; at 0 it dies in its first operation
            delays_us.append(delay_us // 2)
    assert killed


@pytest.mark.parametrize("name", ["rotate", "mp4", "png", "seal-force"])
def test_what_a_kill_left_does_not_stand_in_the_way(ground: Ground, name: str) -> None:
    command = COMMANDS[name]
    reference, count = ground.undisturbed(command)
    with ground.folder(command) as folder:
        before = listing(folder)
        fault = {"mode": SIGNAL, "number": signal.SIGKILL, "classes": CHANGES, "at": count // 2}
        assert ground.nursery.run(folder, *command.arguments, **fault).code == -signal.SIGKILL
        assert judge(command, folder, before, reference) == "old"
        done = ground.nursery.run(folder, *command.arguments)
        assert done.code == 0, done.stderr
        assert judge(command, folder, before, reference) == "new"


def test_a_killed_seal_goes_on_from_its_checkpoint(ground: Ground) -> None:
    """A checkpoint after every step, and a kill in every part of one."""
    command = COMMANDS["seal-kept"]
    reference, count = ground.undisturbed(command)
    for at in range(2, count - 5, 9):  # how many there are depends a little on the time that a fit takes
        with ground.folder(command) as folder:
            before = listing(folder)
            fault = {"mode": SIGNAL, "number": signal.SIGKILL, "classes": CHANGES, "at": at}
            assert ground.nursery.run(folder, *command.arguments, **fault).code == -signal.SIGKILL
            if judge(command, folder, before, reference) == "old":
                done = ground.nursery.run(folder, *command.arguments)
                assert done.code == 0, done.stderr
                assert judge(command, folder, before, reference) == "new"
                assert not [
                    name for name in leftovers(command, before, listing(folder)) if is_checkpoint(command, name)
                ]

"""Run the command in this process, where a new one would load torch again."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from neuralcipher import cli


class Done(NamedTuple):
    """What a command leaves behind."""

    code: int
    stdout: str
    stderr: str


class Here:
    """Runs `ncipher ARGUMENTS` in a folder. Signals and limits of the process stay as they are."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capture = folder, capture

    def __call__(self, *arguments: str, code: int | None = 0) -> Done:
        with pytest.MonkeyPatch.context() as patch, _in(self.folder):
            patch.setattr(sys, "argv", ["ncipher", *arguments])
            for name in [name for name in os.environ if name.startswith("NCIPHER_")]:
                patch.delenv(name)
            self._capture.readouterr()
            got = cli._run()
            done = Done(got, *self._capture.readouterr())
        assert code in (None, got), done.stderr
        assert "Traceback" not in done.stderr
        return done

    def fails(self, code: int, sentence: str, *arguments: str) -> Done:
        """It ends with this code and sentence, and leaves the folder as it was."""
        before = contents(self.folder)
        done = self(*arguments, code=code)
        assert sentence in done.stderr
        assert contents(self.folder) == before
        return done


@contextmanager
def _in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def contents(folder: Path) -> dict[str, bytes]:
    """Everything in a folder and those in it, hidden files too."""
    return {
        str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes() for path in sorted(folder.rglob("*"))
    }

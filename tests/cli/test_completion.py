"""Completion behind TAB: the scripts that `--install-completion` writes, in the shells themselves where these are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from command import NCIPHER, clean_environment

from neuralcipher.cli import app, completion
from neuralcipher.container import AEAD_NAMES, SUITES
from neuralcipher.pipeline.options import PRESETS

NAMED = re.compile(r'^([\w-]+) = "neuralcipher\.', re.MULTILINE)
PROJECT = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text(encoding="utf-8")


def declared(kind: str) -> set[str]:
    """The names in pyproject.toml."""
    part = PROJECT.partition(f'[project.entry-points."neuralcipher.{kind}"]\n')[2].partition("\n[")[0]
    return set(NAMED.findall(part))


FLOWS, GENERATORS, ATTACKS = (declared(kind) for kind in ("flows", "generators", "attacks"))

# A word after a blank is being typed; an empty one is none yet. None: files, by the shell.
LINES: dict[str, set[str] | None] = {
    "ncipher ex": {"extract-audio"},
    "ncipher seal --target": {"--target-size", "--target-psnr"},
    "ncipher seal --flow ": FLOWS,
    "ncipher seal x.mp4 --flow la": {"latent"},
    "ncipher seal --generator ": GENERATORS,
    "ncipher seal --preset ": set(PRESETS),
    "ncipher seal --suite ": set(SUITES),
    "ncipher seal --aead ": set(AEAD_NAMES),
    "ncipher open one.ncv --device ": {"auto", "cpu", "cuda"},
    "ncipher attack --only ": ATTACKS,
    "ncipher attack --only cycles --skip co": {name for name in ATTACKS if name.startswith("co")},
    "ncipher compare --flows latent,": {f"latent,{name}" for name in FLOWS - {"latent"}},
    "ncipher info ": {"one.ncv", "two.ncv"},
    "ncipher join one.ncv sub/": {"sub/three.ncv"},
    "ncipher info vid": None,
    "ncipher seal ": None,
}

SOME = ("ncipher seal --target", "ncipher compare --flows latent,", "ncipher join one.ncv sub/", "ncipher info vid")
CHOICES = ("flow", "flows", "generator", "preset", "suite", "aead", "device", "only", "skip")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    work = tmp_path / "work"
    (work / "sub").mkdir(parents=True)
    for name in ("one.ncv", "two.ncv", "video.mp4", "sub/three.ncv", "sub/four.mp4"):
        (work / name).touch()
    return work


def installed(shell: str, place: Path) -> tuple[dict[str, str], str]:
    """Install the completion of a shell in a home of its own; (environment, path of the script)."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    home = place.parent / "home"
    home.mkdir()
    environment = clean_environment() | {
        "HOME": str(home),
        "PATH": f"{Path(NCIPHER).parent}{os.pathsep}{os.environ['PATH']}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",  # else it is for the shell that the tests run in
    }
    environment.pop("XDG_CONFIG_HOME", None)
    done = subprocess.run(
        [NCIPHER, "--install-completion", shell], env=environment, capture_output=True, text=True, check=True
    )
    return environment, re.sub(r"\s", "", done.stdout.partition("installed in")[2].partition("Completion")[0])


def answers(command: list[str], program: str, environment: dict[str, str], place: Path) -> dict[str, list[str]]:
    """Run a program of a shell that prints `[line]` before what it offers for each."""
    done = subprocess.run(
        [*command, program], env=environment, cwd=place, capture_output=True, text=True, timeout=300, check=True
    )
    assert done.stderr == ""
    found: dict[str, list[str]] = {}
    for printed in done.stdout.splitlines():
        if printed.startswith("["):
            found[printed[1:-1]] = []
        elif printed:
            found[list(found)[-1]].append(printed)
    return found


def test_bash(place: Path) -> None:
    environment, script = installed("bash", place)
    program = (
        f'source "{script}"\noffer() {{ COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ncipher_completion ncipher; }}\n'
    )
    for line in LINES:
        words = line.replace(" ", "' '")
        program += f"echo '[{line}]'; offer '{words}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
    program += "complete -p ncipher >&2 | grep -q default"
    found = answers(["bash", "--norc", "-c"], program.rpartition("\n")[0], environment, place)
    assert {line: set(offered) for line, offered in found.items()} == {
        line: offered or set() for line, offered in LINES.items()
    }
    assert "complete -o default " in Path(script).read_text()  # files, where nothing is offered


def test_zsh(place: Path) -> None:
    environment, script = installed("zsh", place)
    program = f'compdef() {{ }}\n_files() {{ }}\n_arguments() {{ print -r -- "$1" }}\nsource "{script}"\n'
    for line in SOME:
        words = line.replace(" ", "' '")
        program += f"echo '[{line}]'; words=('{words}'); CURRENT=${{#words}}; _ncipher_completion\n"
    found = answers(["zsh", "-f", "-c"], program, environment, place)
    for line in SOME:
        specification = "\n".join(found[line])
        assert set(re.findall(r'(?<=[( ])"([\w.,/-]+)"', specification)) == (LINES[line] or set()), specification


def test_fish(place: Path) -> None:
    environment, script = installed("fish", place)
    assert Path(script).parent == place.parent / "home" / ".config" / "fish" / "completions"
    program = "".join(f"echo '[{line}]'; complete -C '{line}'\n" for line in SOME)
    found = answers(["fish", "-c"], program, environment, place)
    offered = {line: {one.partition("\t")[0] for one in each} for line, each in found.items()}
    assert offered.pop("ncipher info vid") == {"video.mp4"}
    assert offered == {line: LINES[line] for line in SOME if LINES[line] is not None}


def test_torch_is_not_loaded_for_it(place: Path) -> None:
    for line in ("ncipher seal --flow ", "ncipher attack --only ", "ncipher seal --suite ", "ncipher info "):
        environment = clean_environment() | {"_NCIPHER_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
        command = [sys.executable, "-X", "importtime", NCIPHER]
        done = subprocess.run(command, env=environment, cwd=place, capture_output=True, text=True, check=True)
        assert "_arguments" in done.stdout
        assert re.search(r"\| +neuralcipher\.cli\.completion$", done.stderr, re.MULTILINE)
        assert not re.search(r"\| +torch$", done.stderr, re.MULTILINE)


def test_names_that_need_quotes_are_left_to_the_shell(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    assert completion.bundles("") == ["one.ncv", "two.ncv"]
    assert completion.bundles("o") == ["one.ncv"]
    assert completion.bundles("~/") == completion.bundles("o n") == completion.bundles("nowhere/") == []
    assert completion.bundles(f"{place}/sub/") == [f"{place}/sub/three.ncv"]
    for name in ("a b.ncv", "$x.ncv", "-x.ncv", "\u00e4.ncv"):
        (place / name).touch()
        assert completion.bundles("") == []
        assert completion.bundles("t") == ["two.ncv"]
        (place / name).unlink()


def test_every_bundle_and_every_choice_is_completed() -> None:
    """An option whose help names its values, or an argument that is a bundle, and that nobody completes."""
    wanted, found = set(), set()
    for command, each in typer.main.get_command(app).commands.items():
        for parameter in each.params:
            bundle = parameter.param_type_name == "argument" and parameter.name in ("bundle", "bundles")
            if bundle or parameter.name in CHOICES:
                wanted.add((command, parameter.name))
            if getattr(parameter, "_custom_shell_complete", None) is not None:
                found.add((command, parameter.name))
    assert found == wanted
    assert len(found) >= 22

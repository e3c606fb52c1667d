"""The manual page: it says what the commands are today, and tools that show it have nothing to object to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from neuralcipher.cli import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "packaging" / "man" / "ncipher.1"
TEXT = PAGE.read_text(encoding="ascii")  # what is not ASCII is shown as something else in some places
PLAIN = re.sub(r"\\f[BIP]", "", TEXT).replace("\\-", "-")


def sections() -> dict[str, str]:
    """The part of each command."""
    commands = PLAIN.partition(".SH COMMANDS\n")[2].partition("\n.SH ")[0]
    parts = [part.partition("\n") for part in commands.split(".SS ")[1:]]
    return {name: body for name, _, body in parts}


def test_it_is_what_the_script_writes_today() -> None:
    """Else run `python tools/man_page.py > packaging/man/ncipher.1`."""
    done = subprocess.run([sys.executable, str(ROOT / "tools" / "man_page.py")], capture_output=True, check=True)
    assert done.stdout == PAGE.read_bytes()


def test_every_command_and_option_is_there_with_words() -> None:
    """The options are those of the parser, which the script does not look at."""
    commands = typer.main.get_command(app).commands
    found = sections()
    assert set(found) == set(commands)
    assert len(commands) >= 14
    for name, command in commands.items():
        assert f"ncipher {name} [OPTIONS]" in found[name]
        headings = set(re.findall(r"^\.TP\n(.+)\n", found[name], re.MULTILINE))
        words = {word for heading in headings for word in heading.replace(",", "").split() if word.startswith("-")}
        assert words == {one for each in command.params for one in (*each.opts, *each.secondary_opts) if "-" in one}
        arguments = [each for each in command.params if each.param_type_name == "argument"]
        assert len([heading for heading in headings if not heading.startswith("-")]) == len(arguments)
        assert "ncipher " + name in found[name].partition("Examples:\n")[2]
    for option in typer.main.get_command(app).params:
        assert all(name in PLAIN.partition(".SH COMMANDS")[0] for name in option.opts)
    assert ".TP\n.TP" not in PLAIN
    assert not re.search(r"^\.TP\n.+\n(?:\.|\Z)", PLAIN, re.MULTILINE), "an option without words"


def test_every_variable_and_exit_code_is_there() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "neuralcipher").rglob("*.py"))
    for variable in set(re.findall(r'"(NCIPHER_[A-Z_]+)"', source)):
        assert f".TP\n{variable}\n" in PLAIN
    errors = (ROOT / "neuralcipher" / "errors.py").read_text(encoding="utf-8")
    codes = re.findall(r"^EXIT_\w+ = (\d+)$", errors, re.MULTILINE)
    assert re.findall(r"^\.TP\n(\d+)\n", PLAIN.partition(".SH EXIT STATUS")[2], re.MULTILINE) == codes
    assert len(codes) >= 8


def test_it_is_of_this_version() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert version is not None
    assert f'"neuralcipher {version[1]}"' in TEXT.splitlines()[1]


@pytest.mark.parametrize(
    "command",
    [
        ["groff", "-ww", "-man", "-z", "-T", "ascii"],
        ["man", "--warnings", "-l"],
        ["mandoc", "-T", "lint", "-W", "error"],
    ],
    ids=lambda command: command[0],
)
def test_tools_object_to_nothing(command: list[str]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    environment = os.environ | {"MANWIDTH": "100", "LC_ALL": "C.UTF-8"}
    done = subprocess.run([*command, str(PAGE)], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    if command[0] == "man":
        assert "--target-psnr NUMBER" in done.stdout
    else:
        assert done.stdout == ""

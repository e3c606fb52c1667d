"""What stands beside the package: the container image, the conda recipe, the numbers of a release, its promises."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import neuralcipher
from neuralcipher import errors
from neuralcipher.container import VERSION
from neuralcipher.container.directory import DIRECTORY_VERSION
from neuralcipher.flows.latent.section import VERSION as LATENT_VERSION

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


PROJECT = tomllib.loads(read("pyproject.toml"))["project"]
DOCKERFILE, RECIPE, RELEASES = read("Dockerfile"), read("packaging/conda/recipe.yaml"), read("docs/releases.md")
CONDA_NAMES = {"msgpack": "msgpack-python", "opencv-python-headless": "py-opencv", "torch": "pytorch"}


def test_every_file_has_the_same_version() -> None:
    version = re.escape(PROJECT["version"])
    for name, pattern in {
        "CITATION.cff": f"^version: {version}$",
        "packaging/conda/recipe.yaml": f'^  version: "{version}"$',
        "Dockerfile": f'image.version="{version}"',
        "CHANGELOG.md": f"^## {version}$",
        "docs/install.md": f"neuralcipher-{version}-py3-none-any.whl",
    }.items():
        assert re.search(pattern, read(name), re.MULTILINE), name


def test_the_conda_recipe_asks_for_what_the_project_asks_for() -> None:
    run = RECIPE.partition("\n  run:\n")[2].partition("\n\n")[0]
    asked = dict(re.findall(r"^    - (\S+) (.+)$", run, re.MULTILINE))
    assert asked.pop("python") == ">=${{ python_min }}"
    assert f'"{PROJECT["requires-python"].removeprefix(">=")}"' in read("packaging/conda/variants.yaml")
    wanted = map(Requirement, PROJECT["dependencies"])
    assert asked == {CONDA_NAMES.get(each.name, each.name): str(each.specifier) for each in wanted}
    (script,) = PROJECT["scripts"].items()
    assert f"      - {script[0]} = {script[1]}\n" in RECIPE
    assert (
        re.findall(r"^    - (\S+)$", RECIPE.partition("license_file:\n")[2], re.MULTILINE) == PROJECT["license-files"]
    )


def instructions() -> list[tuple[str, str]]:
    """(instruction, the rest) of the Dockerfile, with continued lines joined."""
    joined = re.sub(r"\\\n", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in joined.splitlines() if line]


def test_the_image_runs_the_command_as_nobody_in_particular() -> None:
    found = instructions()
    stages = [i for i, (name, _) in enumerate(found) if name == "FROM"]
    assert len(stages) == 2
    assert len({rest.partition(" ")[0] for name, rest in found if name == "FROM"}) == 1, "a venv needs its Python"
    last = found[stages[1] :]
    user = [rest for name, rest in last if name == "USER"]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user[-1])
    assert [rest for name, rest in last if name == "ENTRYPOINT"] == ['["ncipher"]']
    after = [name for name, _ in last[[name for name, _ in last].index("USER") :]]
    assert not {"RUN", "COPY", "ADD"} & set(after)
    assert not re.search(r"NCIPHER_|(?i:secret|password|token)|--key|://", DOCKERFILE)
    assert not [name for name, _ in found if name == "ADD"]


def test_the_image_is_built_from_what_is_there_and_from_no_more() -> None:
    ignored = [line for line in read(".dockerignore").splitlines() if line and not line.startswith("#")]
    assert ignored[0] == "*"
    admitted = {line[1:] for line in ignored if line.startswith("!")}
    copied = [rest.split()[:-1] for name, rest in instructions() if name == "COPY" and not rest.startswith("--from")]
    names = {name for each in copied for name in each}
    assert names <= admitted
    assert admitted - names <= {"packaging", "requirements"}  # their folders, which must not be left out whole
    assert all((ROOT / name).exists() for name in names)
    data = tomllib.loads(read("pyproject.toml"))["tool"]["setuptools"]["data-files"]
    assert all(any(path.startswith(name) for name in names) for paths in data.values() for path in paths)


def test_the_pins_of_the_image_are_those_of_the_lock() -> None:
    """The sed of the Dockerfile, on the lock file."""
    script = re.search(r"sed -nE '(.+?)'", DOCKERFILE)
    assert script is not None
    if shutil.which("sed") is None:
        pytest.skip("sed is not installed")
    lock = ROOT / "requirements" / "dev.lock.txt"
    done = subprocess.run(["sed", "-nE", script[1], str(lock)], capture_output=True, text=True, check=True)
    found = [Requirement(line) for line in done.stdout.splitlines()]
    assert len(found) == len(re.findall(r"^[a-z].*==", lock.read_text(encoding="utf-8"), re.MULTILINE))
    assert {each.name for each in found} >= {Requirement(line).name for line in PROJECT["dependencies"]}


def test_hadolint_objects_to_nothing() -> None:
    if shutil.which("hadolint") is None:
        pytest.skip("hadolint is not installed")
    done = subprocess.run(["hadolint", str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_page_on_releases_lists_what_is_public() -> None:
    names = re.search(r"names in `neuralcipher.__all__`: (.+?) \|", RELEASES)
    assert names is not None
    assert re.findall(r"`(\w+)`", names[1]) == sorted(neuralcipher.__all__)
    assert all(hasattr(neuralcipher, name) for name in neuralcipher.__all__)
    codes = [str(value) for name, value in vars(errors).items() if name.startswith("EXIT_")]
    line = re.search(r"exit codes: (.+?) \|", RELEASES)
    assert line is not None
    assert re.findall(r"\d+", line[1]) == codes
    assert all(f"`{group}`" in RELEASES for group in PROJECT["entry-points"])


def test_the_page_on_releases_has_the_numbers_of_today() -> None:
    rows = dict(re.findall(r"^\| (format|directory|section) \| .+? \| (.+?) \|", RELEASES, re.MULTILINE))
    assert rows == {"format": str(VERSION), "directory": str(DIRECTORY_VERSION), "section": "`latent` 3, all others 1"}
    assert LATENT_VERSION == 3
    for name in ("flows/autoencoder", "flows/recurrent/section", "flows/mlp", "flows/lstm", "generators/feistel"):
        assert re.search(r"^_?VERSION = 1$", read(f"neuralcipher/{name}.py"), re.MULTILINE), name

"""What the package is made of and from: lock files, the page on dependencies, the workflow of a public forge."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from packaging.requirements import Requirement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("dev.lock.txt", "cuda.lock.txt", "audit.lock.txt")
OPTIONAL = ("ray", "plots")  # extras that the package imports where they are installed
EXTRAS = ("test", "docs", "dev", "bench", *OPTIONAL)  # what the lock files hold besides the package's own dependencies
PIN = re.compile(
    r"^([a-z0-9.-]+)==(\S+)(?: ; (.+?))? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PAGE = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def lock(name: str) -> str:
    return (ROOT / "requirements" / name).read_text(encoding="utf-8")


def requirements(lines: list[str]) -> list[Requirement]:
    return [found for found in map(Requirement, lines) if normal(found.name) != "neuralcipher"]


def pins(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for name, version, _, _ in PIN.findall(text):
        found[name].append(version)
    return found


def asked_for_by(text: str) -> dict[str, set[str]]:
    """From a package to those that need it, as the comments of a lock file tell; "neuralcipher" is this project."""
    needed: dict[str, set[str]] = defaultdict(set)
    name = ""
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            name = line.partition("==")[0]
        elif line.startswith("    # ") and (words := line.removeprefix("    # ").removeprefix("via").split()):
            needed[name].add(words[0])
        elif line.startswith("    #   "):
            needed[name].add(line.split()[1])
    return needed


@pytest.mark.parametrize("name", LOCKS)
def test_every_pin_has_digests_and_no_file_names_an_index(name: str) -> None:
    text = lock(name)
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
    assert len(lines) == len(PIN.findall(text)) > 10
    assert "://" not in text
    assert not re.search(r"^\s*--(?!hash)", text, re.MULTILINE)


def test_the_lock_holds_what_the_project_asks_for() -> None:
    held = pins(lock("dev.lock.txt"))
    asked = requirements(PROJECT["dependencies"])
    asked += [found for extra in EXTRAS for found in requirements(PROJECT["optional-dependencies"][extra])]
    assert len(asked) > 20
    for requirement in asked:
        versions = held[normal(requirement.name)]
        assert versions, f"{requirement} is not in the lock file: run requirements/relock.py"
        assert all(version in requirement.specifier for version in versions), requirement


def test_the_lock_and_the_constraints_agree() -> None:
    held = pins(lock("dev.lock.txt"))
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    constraints = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert {found.name for found in constraints} >= {"torch"}
    for constraint in constraints:
        assert any(version in constraint.specifier for version in held[constraint.name]), constraint


def test_the_digests_of_the_cpu_builds_are_in_the_lock() -> None:
    (version,) = pins(lock("dev.lock.txt"))["torch"]
    (hashes,) = [found for name, _, _, found in PIN.findall(lock("dev.lock.txt")) if name == "torch"]
    listed = [line.split() for line in lock("torch-cpu.sha256").splitlines() if not line.startswith("#")]
    assert len(listed) == 7
    for digest, name in listed:
        assert name.startswith(f"torch-{version}+cpu-")
        assert digest in hashes


def test_what_only_cuda_needs_is_apart() -> None:
    """Else a CPU installation would bring several gigabytes; and what torch needs everywhere must not be there."""
    everywhere, cuda = pins(lock("dev.lock.txt")), pins(lock("cuda.lock.txt"))
    assert not {name for name in everywhere if name.startswith(("nvidia-", "cuda-", "triton"))}
    assert all(name.startswith(("nvidia-", "cuda-", "triton")) for name in cuda)


def page_rows() -> dict[str, list[str]]:
    table = PAGE.partition("## At run time")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table if line.startswith("| `")]
    return {row[0].strip("`"): row for row in rows}


def test_the_page_lists_the_dependencies_and_what_they_bring() -> None:
    rows = page_rows()
    assert set(rows) == {normal(found.name) for found in requirements(PROJECT["dependencies"])}
    needs: dict[str, set[str]] = defaultdict(set)
    for name, askers in asked_for_by(lock("dev.lock.txt")).items():
        for asker in askers:
            needs[asker].add(name)
    for name, (_, why, licence, brings, instead) in rows.items():
        assert min(map(len, (why, licence, instead))) >= 3
        named = set(re.findall(r"`([^`]+)`", brings))
        if "and what it brings" in brings:
            named |= set(re.findall(r"`([^`]+)`", rows["torch"][3]))
        reached: set[str] = set()
        new = needs[name]
        while new:
            reached |= new
            new = {below for one in new for below in needs[one]} - reached
        assert named == reached - {"colorama"}, name  # colorama is for Windows


def imported() -> set[str]:
    """The packages outside the standard library that some file of the package imports."""
    found = set()
    for path in sorted((ROOT / "neuralcipher").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").split(".")[0])
    return found - set(sys.stdlib_module_names) - {"neuralcipher"}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    providers = importlib.metadata.packages_distributions()
    wanted = PROJECT["dependencies"] + [line for extra in OPTIONAL for line in PROJECT["optional-dependencies"][extra]]
    declared = {normal(found.name) for found in requirements(wanted)}
    modules = imported()
    assert {"torch", "cv2", "PIL"} <= modules
    by_module = {module: {normal(name) for name in providers.get(module, [])} for module in modules}
    assert [module for module, names in by_module.items() if not names & declared] == []
    assert declared == {name for names in by_module.values() for name in names & declared}


def test_the_workflow_pins_its_actions_and_holds_no_rights() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    actions = re.findall(r"uses: (\S+)(.*)", text)
    assert len(actions) >= 6
    for action, comment in actions:
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
    assert re.findall(r"^permissions:\n((?:  .+\n)+)", text, re.MULTILINE) == ["  contents: read\n"]
    assert text.count("permissions:") == 1
    assert text.count("persist-credentials: false") == text.count("uses: actions/checkout@")
    assert not re.search(
        r"secrets\b|pull_request_target|github\.token|\bwrite\b", text.replace("no secret is used", "")
    )
    versions = [found.rsplit(" ", 1)[1] for found in PROJECT["classifiers"] if re.search(r"Python :: 3\.\d+", found)]
    quoted = ", ".join(f'"{version}"' for version in versions)
    assert f"python: [{quoted}]" in text
    assert "bash .ci/run" in text
    assert all(f"pip-audit --strict --disable-pip --require-hashes -r requirements/{name}" in text for name in LOCKS)

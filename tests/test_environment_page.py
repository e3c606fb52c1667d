"""docs/reference/environment.md against the code: every variable that is read or set, every exit code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import neuralcipher
from neuralcipher import errors

PACKAGE = Path(neuralcipher.__file__).parent
PAGE = (Path(__file__).resolve().parent.parent / "docs" / "reference" / "environment.md").read_text(encoding="utf-8")
VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*[A-Z0-9]")


class UnreadableError(Exception):
    """The environment is used in a way that this test cannot follow: write it more plainly, or teach the test."""


def strings(node: ast.AST, constants: dict[str, ast.expr]) -> set[str]:
    """The texts of a constant, a dictionary's keys, a tuple, or a name that the module gives one of these."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.Name) and node.id in constants:
        return strings(constants[node.id], constants)
    if isinstance(node, (ast.Tuple, ast.List)):
        return {text for part in node.elts for text in strings(part, constants)}
    if isinstance(node, ast.Dict):
        return {text for key in node.keys if key is not None for text in strings(key, constants)}
    raise UnreadableError(ast.unparse(node))


def is_environment(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node) == "os.environ"


def used(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> ast.expr | None:
    """What the expression around `os.environ` looks up or changes there; None if it takes all of it."""
    around = parents[node]
    if isinstance(around, ast.Subscript):
        return around.slice
    if isinstance(around, ast.Compare):
        return around.left
    if isinstance(around, ast.Dict):
        return around
    call = parents[around]
    if isinstance(around, ast.Attribute) and isinstance(call, ast.Call) and call.args:
        name = call.args[0]
        if around.attr in ("get", "pop", "setdefault"):
            return name
        if around.attr == "update":  # with names that were taken from it before
            return None
    raise UnreadableError(ast.unparse(around))


def looped(name: ast.expr, parents: dict[ast.AST, ast.AST]) -> ast.expr:
    """What a loop's variable runs over; anything else as it is."""
    inside: ast.AST = name
    while isinstance(name, ast.Name) and inside in parents:
        inside = parents[inside]
        loops = getattr(inside, "generators", [inside] if isinstance(inside, ast.For) else [])
        for loop in loops:
            targets = [ast.unparse(part) for part in ast.walk(loop.target)]
            if name.id in targets:
                return loop.iter
    return name


def variables(source: str) -> Iterator[str]:
    """Every environment variable that a module names where it uses the environment."""
    tree = ast.parse(source)
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    kept = {}  # dictionaries made from variables of the environment: name -> what they were made from
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.DictComp) and "os.environ" in ast.unparse(node):
            kept[ast.unparse(node.targets[0])] = node.value.generators[0].iter
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "os.getenv":
            yield from strings(node.args[0], constants)
        if is_environment(node) and (found := used(node, parents)) is not None:
            over = looped(found, parents)
            source_name = ast.unparse(over).removesuffix(".items()")
            yield from strings(kept.get(source_name, over), constants)


def in_code() -> set[str]:
    found: set[str] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "environ" in text or "getenv" in text:
            found |= set(variables(text))
    session = (PACKAGE / "video" / "session.py").read_text(encoding="utf-8")
    (added,) = re.findall(r"_ADDED_VARIABLES = (\{.+\})", session)
    return found | set(ast.literal_eval(added))


def on_page() -> set[str]:
    ours = PAGE.partition("## Variables that you set")[2].partition("Libraries read variables of their own")[0]
    return {name for name in re.findall(r"`([^`]+)`", ours) if VARIABLE.fullmatch(name) and name != "PASSIVE"}


def test_the_page_names_every_variable_of_the_code_and_no_other() -> None:
    found = in_code()
    assert {"NCIPHER_KEY", "NCIPHER_PASSPHRASE", "PATH", "OMP_NUM_THREADS"} <= found
    assert on_page() == found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("os.environ['A_B']", {"A_B"}),
        ("N = 'A_B'\nos.environ.get(N)", {"A_B"}),
        ("os.getenv('A_B')", {"A_B"}),
        ("N = ('A_B', 'C')\nx = {n: os.environ[n] for n in N if n in os.environ}", {"A_B", "C"}),
        ("N = ('A_B',)\ndef f():\n  kept = {n: os.environ.get(n) for n in N}\n  for n, v in kept.items():\n"
         "    os.environ[n] = v", {"A_B"}),
        ("run(env={**os.environ, 'A_B': '1'})", {"A_B"}),
    ],
)  # fmt: skip
def test_uses_of_the_environment_are_seen(source: str, expected: set[str]) -> None:
    assert set(variables(source)) == expected


@pytest.mark.parametrize("source", ["os.environ[name()]", "f(os.environ)", "os.environ.copy()"])
def test_a_use_that_cannot_be_followed_is_an_error(source: str) -> None:
    with pytest.raises((UnreadableError, KeyError)):
        list(variables(source))


def test_the_exit_codes_on_the_page_are_those_of_the_errors() -> None:
    rows = re.findall(r"^\| (\d+) \|[^|]+\|([^|]*)\|$", PAGE, re.MULTILINE)
    assert [int(code) for code, _ in rows] == sorted(
        value for name, value in vars(errors).items() if name.startswith("EXIT_")
    )
    on_the_page = {name: int(code) for code, names in rows for name in re.findall(r"`(\w+Error)`", names)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    direct = {
        kind.__name__: kind.exit_code
        for kind in kinds
        if issubclass(kind, errors.NeuralCipherError) and errors.BundleError not in kind.__mro__[1:]
    }
    assert on_the_page == direct
    children = {kind.exit_code for kind in kinds if issubclass(kind, errors.BundleError)}
    assert children == {errors.EXIT_DAMAGED}

"""What must not be in the package, found in its syntax trees: each rule is shown to catch what it forbids."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import neuralcipher

PACKAGE = Path(neuralcipher.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
SECRET_PARTS = ("mac", "tag", "digest", "commit", "secret", "key", "check", "passphrase", "wrapped")
# Comparisons of public values whose names look secret: reviewed one by one.
REVIEWED = {
    ("keys/keyfile.py", "secret_bytes"),  # lengths
    ("keys/secret.py", "secret_bytes"),
    ("container/stream.py", "tag_bytes"),
    ("container/format.py", "check"),  # bare: a checksum that anyone can make
}

LOADS = ("load", "save")
# What a rule forbids elsewhere, and why it is right here.
ALLOWED = {
    ("network", "pipeline/cluster.py"),  # knocks at the address of a Ray cluster that the user named
    ("network", "player/server.py"),  # listens on loopback, for `ncipher view`
}

Rule = Callable[[ast.AST], bool]


def calls(node: ast.AST, *names: str) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func) in names


def imports(node: ast.AST, *names: str) -> bool:
    if isinstance(node, ast.Import):
        return any(alias.name.split(".")[0] in names for alias in node.names)
    return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in names


RULES: dict[str, tuple[Rule, str]] = {
    "pickle": (lambda n: imports(n, "pickle", "cPickle", "dill", "shelve", "marshal"), "import pickle"),
    "torch.load": (lambda n: calls(n, "torch.load", "torch.save", "torch.jit.load"), "torch.load(path)"),
    "torch.load by another name": (
        lambda n: isinstance(n, ast.ImportFrom) and n.module == "torch" and any(a.name in LOADS for a in n.names),
        "from torch import load as read",
    ),
    "numpy pickles": (
        lambda n: isinstance(n, ast.keyword) and n.arg == "allow_pickle" and ast.unparse(n.value) != "False",
        "np.load(path, allow_pickle=True)",
    ),
    "eval": (lambda n: calls(n, "eval", "exec", "compile", "__import__"), "eval(text)"),
    "assert": (lambda n: isinstance(n, ast.Assert), "assert size < 10"),
    "shell": (lambda n: isinstance(n, ast.keyword) and n.arg == "shell", "run(text, shell=True)"),
    "shell by another name": (lambda n: calls(n, "os.system", "os.popen"), "os.system(text)"),
    "network": (
        lambda n: imports(n, "socket", "ssl", "urllib", "http", "requests", "ftplib", "smtplib", "xmlrpc"),
        "from urllib.request import urlopen",
    ),
    "yaml": (lambda n: imports(n, "yaml"), "import yaml"),
    "insecure randomness": (lambda n: imports(n, "random"), "import random"),
}


@pytest.mark.parametrize("name", RULES)
def test_it_is_nowhere_in_the_package(name: str) -> None:
    rule, caught = RULES[name]
    assert any(rule(node) for node in ast.walk(ast.parse(caught))), "the rule does not catch its own example"
    found = [
        f"{path.relative_to(PACKAGE)}:{getattr(node, 'lineno', '?')}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if rule(node) and (name, path.relative_to(PACKAGE).as_posix()) not in ALLOWED
    ]
    assert found == []


def secret_comparisons(tree: ast.AST) -> Iterator[str]:
    """The words of what is compared by == or != and sounds like bytes that an attacker must not learn by time."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Compare) or not any(isinstance(op, (ast.Eq, ast.NotEq)) for op in node.ops):
            continue
        for side in (node.left, *node.comparators):
            word = ast.unparse(side).rpartition(".")[2].lower()
            if word.isidentifier() and any(part in word for part in SECRET_PARTS):
                yield word


def test_secrets_are_compared_in_constant_time() -> None:
    """keys/ and container/ compare them with hmac.compare_digest; everything else that sounds alike was reviewed."""
    assert list(secret_comparisons(ast.parse("if self._mac != expected: pass"))) == ["_mac"]
    found = {
        (str(path.relative_to(PACKAGE)), word)
        for folder in ("keys", "container")
        for path in sorted((PACKAGE / folder).rglob("*.py"))
        for word in secret_comparisons(ast.parse(path.read_text()))
    }
    assert found <= REVIEWED
    text = "".join(path.read_text() for folder in ("keys", "container") for path in (PACKAGE / folder).rglob("*.py"))
    assert text.count("hmac.compare_digest(") >= 5

"""A word on passphrases that are plainly weak; counted by hand from the rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neuralcipher.keys import Passphrase, is_weak
from neuralcipher.keys.strength import effective_length


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("x7kqvlwz", 8),
        ("aaaaaaaaaaaaaaaa", 1),  # repeats a
        ("abcabcabcabc", 2),  # repeats abc, a run
        ("abcdefgh", 2),
        ("87654321", 2),
        ("qwertyuiop", 2),
        ("password", 1),
        ("P4ssw0rd1234", 3),  # the word, and a run
        ("my password", 4),
        ("xyzzy", 4),  # x y z are a run: two, then z y
        ("correct horse battery staple", 28),  # rr, tt and the like are no runs
        ("z" * 60_000, 1),
    ],
)
def test_the_rule(text: str, length: int) -> None:
    assert effective_length(text) == length


@pytest.mark.parametrize(
    "text",
    ["a", "hunter2", "password1234", "Password!Password!", "12345678901234567890", "31415926535897932", "Tr0ub4dor&3"],
)
def test_weak_ones_are_found(text: str) -> None:
    assert is_weak(Passphrase(text))


@pytest.mark.parametrize(
    "text",
    ["correct horse battery staple", "x7#kQ!2vLw9z", "a long and private sentence", "日本語の長い合言葉を使います"],
)
def test_others_are_left_alone(text: str) -> None:
    assert not is_weak(Passphrase(text))


@given(st.text(min_size=1, max_size=300))
def test_it_never_fails_and_never_counts_more_than_there_is(text: str) -> None:
    assert 0 < effective_length(text) <= len(text.lower())

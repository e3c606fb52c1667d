"""A rule of thumb for passphrases: how long one is once what is plainly predictable is taken off.

It is not an estimate of entropy, and knows no names, dates, books or leaked lists: it finds what is certainly weak, and
praises nothing.
"""

from __future__ import annotations

from neuralcipher.keys.passphrase import Passphrase

ENOUGH = 12
_LOOKED_AT = 100
_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertzuiop", "azertyuiop")
_COMMON = (
    *("password", "passwort", "passphrase", "motdepasse", "secret", "letmein", "iloveyou", "welcome", "admin", "login"),
    *("dragon", "monkey", "football", "baseball", "master", "sunshine", "princess", "superman", "batman", "shadow"),
)
_LEET = str.maketrans("013457@$!", "oleastasi")


def is_weak(passphrase: Passphrase) -> bool:
    """Whether a passphrase has fewer than 12 characters that follow no plain pattern; of digits alone, 20."""
    text = passphrase.buffer().decode("utf-8")
    return effective_length(text) < (20 if text.isdigit() else ENOUGH)


def effective_length(text: str) -> int:
    """Characters, where a very common word, a run (aaaa, 1234, qwerty) or a repetition (abcabc) counts little.

    A common word counts one, a run two, and what repeats a shorter text once.
    """
    text = _unit(text[:_LOOKED_AT].lower())
    for word in _COMMON:
        # The letters that stand for others may themselves be meant: both readings are tried.
        for reading in (text, text.translate(_LEET)):
            at = reading.find(word)
            if at >= 0:
                text = text[:at] + "\0" + text[at + len(word) :]
                break
    return len(text) - sum(_goes_on(*three) for three in zip(text, text[1:], text[2:], strict=False))


def _unit(text: str) -> str:
    """The shortest text that, repeated, begins with this one."""
    # A text of period p occurs in itself, shifted by p.
    for period in range(1, len(text) // 2 + 1):
        if text[period:] == text[:-period]:
            return text[:period]
    return text


def _goes_on(first: str, second: str, third: str) -> bool:
    """Whether the third character follows from the two before it: the same again, the next letter, the next key."""
    step = ord(second) - ord(first)
    if abs(step) <= 1 and ord(third) - ord(second) == step:
        return True
    word = first + second + third
    return any(word in row or word in row[::-1] for row in _ROWS)

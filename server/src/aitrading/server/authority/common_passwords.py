"""Passwords that guessing finds first: made of the commonest ones, of names, and of digits.

What counts is what is left for a guesser to find: digits, repeats and names of the surroundings are
free, a common word costs one. Long passwords of several words are good ones, whatever the words.
"""

import re
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Final

MAX_COMMON_WORDS: Final = 2
"""Of two common words, with names and digits around them, there are too few to guess through."""
MIN_NAME_CHARS: Final = 3
"""Shorter parts of a name are in every sentence."""
OWN_WORDS: Final = ("aitrading", "trading", "metatrader")
"""What everybody thinks of who is asked for a password here."""
_DISGUISES: Final = str.maketrans("@431!0$57", "aaeiiosst")
_REPEAT: Final = re.compile(r"(.{2,}?)\1+")
_NOT_WORD: Final = re.compile(r"[^\w@!$]|_")


def is_easily_guessed(password: str, names: Iterable[str]) -> bool:
    """Whether only digits, these names and at most `MAX_COMMON_WORDS` common words are in it."""
    free = {word for name in (*names, *OWN_WORDS) for word in _words(name)}
    text = _REPEAT.sub(r"\1", _NOT_WORD.sub("", password.casefold()))
    cost = _cheapest(text, free)
    return cost is not None and cost <= MAX_COMMON_WORDS


@cache
def common_words() -> frozenset[str]:
    """The list of this release, without disguises."""
    text = (resources.files(__package__ or "") / "common_passwords.txt").read_text("utf-8")
    return frozenset(
        line.translate(_DISGUISES) for line in text.splitlines() if not line.startswith("#")
    )


def _words(name: str) -> Iterable[str]:
    """A name and its parts, as they would stand in a password."""
    parts = re.split(r"[\W_]+", name.casefold())
    for word in (*parts, "".join(parts)):
        if len(word) >= MIN_NAME_CHARS:
            yield word.translate(_DISGUISES)


def _cheapest(text: str, free: set[str]) -> int | None:
    """The fewest common words that the whole text can be put together with; None if it cannot."""
    plain, common = text.translate(_DISGUISES), common_words()
    longest = max(len(word) for word in (*common, *free))
    costs: list[int | None] = [0]
    for end in range(1, len(text) + 1):
        best = costs[end - 1] if not text[end - 1].isalpha() else None
        for begin in range(max(0, end - longest), end):
            so_far, piece = costs[begin], plain[begin:end]
            if so_far is None or (piece not in free and piece not in common):
                continue
            cost = so_far + (piece not in free)
            best = cost if best is None else min(best, cost)
        costs.append(best)
    return costs[-1]

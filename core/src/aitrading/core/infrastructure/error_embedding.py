"""What an error looks like, as a vector: similar errors point in similar directions.

Feature hashing: each feature (code, type, function, word, piece of a word) falls into one of
`DIMENSIONS` places with a sign, both taken from a hash. Nothing is learnt and nothing is
downloaded, so every machine and every release with the same `VERSION` gives the same vector.

Features come in groups of a fixed weight, each group of unit length: a long message outweighs a
short stack no more than a short one. A group that is not known is left out, so a sentence that a
person typed is compared with the messages alone.
"""

import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

import msgspec

VERSION: Final = 1
DIMENSIONS: Final = 256
MAX_TEXT_CHARS: Final = 2_000
MAX_FRAMES: Final = 16

_GRAM_CHARS: Final = 4
_WEIGHTS: Final = {"code": 0.8, "kind": 0.6, "frames": 0.8, "words": 1.0, "grams": 0.9}
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_PLACEHOLDER: Final = re.compile(r"<[a-z]+>|\{\w+\}")
_ENDINGS: Final = ("ations", "ation", "ings", "ing", "ed", "es", "ly", "s", "e")
_SHORTEST_STEM: Final = 3
_EMPTY_WORDS: Final = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "been",
        "but",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "had",
        "has",
        "have",
        "in",
        "into",
        "is",
        "it",
        "its",
        "more",
        "of",
        "on",
        "or",
        "so",
        "than",
        "that",
        "the",
        "their",
        "then",
        "there",
        "they",
        "this",
        "to",
        "was",
        "were",
        "which",
        "will",
        "with",
        "you",
        "your",
        "itself",
    ]
)


class ErrorFeatures(msgspec.Struct, frozen=True, kw_only=True):
    """What is compared; empty where nothing is known."""

    message: str
    code: str = ""
    kind: str = ""
    frames: tuple[str, ...] = ()


def embed(features: ErrorFeatures) -> tuple[float, ...]:
    """A vector of unit length; all zeros when nothing is known. Pure and deterministic."""
    total = [0.0] * DIMENSIONS
    for group, tokens in _groups(features):
        part = _hashed(group, tokens)
        length = math.sqrt(math.fsum(value * value for value in part))
        if length:
            for place, value in enumerate(part):
                total[place] += _WEIGHTS[group] * value / length
    length = math.sqrt(math.fsum(value * value for value in total))
    return tuple(value / length for value in total) if length else tuple(total)


def similarity(left: Iterable[float], right: Iterable[float]) -> float:
    """The cosine of two vectors of unit length: 1 for the same, about 0 for strangers."""
    return math.fsum(a * b for a, b in zip(left, right, strict=True))


def _groups(features: ErrorFeatures) -> Iterator[tuple[str, list[str]]]:
    words = _stems(_PLACEHOLDER.sub(" ", features.message[:MAX_TEXT_CHARS]))
    yield "code", [features.code, *_stems(features.code)] if features.code else []
    yield "kind", _dotted(features.kind)
    yield "frames", _frame_tokens(features.frames)
    yield "words", words
    yield "grams", [gram for word in words for gram in _grams(word)]


def _frame_tokens(frames: tuple[str, ...]) -> list[str]:
    """Each function with its place counted from where it was raised, and alone."""
    near = frames[-MAX_FRAMES:]
    pairs = [f"{outer}>{inner}" for outer, inner in pairwise(near)]
    modules = [frame.partition(":")[0] for frame in near]
    return [*near, *near[-2:], *pairs, *modules]


def _dotted(name: str) -> list[str]:
    return [name, *name.split(".")] if name else []


def _stems(text: str) -> list[str]:
    """Words without their endings, in lower case; a name is the words it is made of."""
    words = (word.lower() for word in _WORD.findall(text))
    return [_stem(word) for word in words if len(word) > 1 and word not in _EMPTY_WORDS]


def _stem(word: str) -> str:
    for ending in _ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= _SHORTEST_STEM:
            return word.removesuffix(ending)
    return word


def _grams(word: str) -> list[str]:
    padded = f"^{word}$"
    if len(padded) <= _GRAM_CHARS:
        return [padded]
    return [padded[at : at + _GRAM_CHARS] for at in range(len(padded) - _GRAM_CHARS + 1)]


def _hashed(group: str, tokens: list[str]) -> list[float]:
    """Repeats of a token count less and less."""
    counts: dict[str, int] = {}
    for token in tokens:
        counts[token] = counts.get(token, 0) + 1
    places = [0.0] * DIMENSIONS
    for token, count in counts.items():
        digest = hashlib.blake2b(f"{group}\0{token}".encode(), digest_size=4).digest()
        sign = 1.0 if digest[3] & 1 else -1.0
        places[int.from_bytes(digest[:2], "big") % DIMENSIONS] += sign * math.sqrt(count)
    return places

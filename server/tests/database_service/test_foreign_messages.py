"""What programs that we did not write say, looked up among our own errors: how often it helps.

The words are theirs: each is searched for in the program that says it. What each means was written
down before anything was measured, for PostgreSQL by the SQLSTATE that the platform maps, and the
weights of the embedding are those of its VERSION 1. Reported apart from the recall on our own set.
"""

import mmap
import ssl
import sys
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from aitrading.core.infrastructure import error_embedding
from aitrading.core.infrastructure.error_embedding import ErrorFeatures, embed, similarity
from aitrading.server.cli.error_codes import catalogue
from aitrading.server.engines.binaries import envoy_binary, nats_binary, postgres_binary

FILE = Path(__file__).with_name("foreign_messages.json")
FROZEN = {"code": 0.8, "kind": 0.6, "frames": 0.8, "words": 1.0, "grams": 0.9}
FLOOR_FIRST_TIME = 0.08
"""Measured: 4 of 34. Hashed words know no synonyms; nothing was tuned to make this look better."""
FLOOR_SEEN_BEFORE = 0.95
AS_LOGGED = {
    "postgres": "2026-11-28 14:03:11.512 UTC [7130] ERROR:  {said}",
    "asyncpg": "asyncpg.exceptions.ConnectionDoesNotExistError: {said}",
    "openssl": "error:0A000086:SSL routines::{said} (_ssl.c:1006)",
    "envoy": "[2026-11-28 14:03:11.512][12][debug] [source/common/http/filter_manager.cc:1084] {said}",
    "nats": "ERROR encountered error: {said}",
    "nats-server": "[7130] 2026/11/28 14:03:11.512 [ERR] 127.0.0.1:51234 - cid:9 - {said}",
}
"""How a log shows it: other numbers, times and places around the same words."""


class Said(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One message of a program."""

    by: str
    said: str
    words: tuple[str, ...]
    """What of it stands in the program itself."""
    means: tuple[str, ...]
    """Errors of ours any of which would help; the first is the closest."""


MESSAGES = msgspec.json.decode(FILE.read_bytes(), type=list[Said])


def programs(by: str) -> list[Path]:
    """Files that hold a program's words."""
    if by == "openssl":
        assert ssl.OPENSSL_VERSION
        lines = Path("/proc/self/maps").read_text().splitlines()
        loaded = {line.split(maxsplit=5)[-1] for line in lines if "/" in line}
        named = {path for path in loaded if "libssl" in path or "libcrypto" in path}
        return [Path(path) for path in named or {sys.executable, *loaded} if Path(path).is_file()]
    if by in {"asyncpg", "nats"}:
        spec = find_spec(by)
        assert spec is not None
        assert spec.origin is not None
        return [
            path
            for path in Path(spec.origin).parent.rglob("*")
            if path.suffix in {".py", ".so", ".pyx"}
        ]
    return [{"postgres": postgres_binary("postgres"), "envoy": envoy_binary(), "nats-server": nats_binary()}[by]]  # fmt: skip


@pytest.mark.parametrize("by", sorted({each.by for each in MESSAGES}))
def test_the_words_are_theirs(by: str) -> None:
    wanted = {word.encode() for each in MESSAGES if each.by == by for word in each.words}
    for path in programs(by):
        with path.open("rb") as file:
            if path.stat().st_size:
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as words:
                    wanted -= {word for word in wanted if words.find(word) >= 0}
        if not wanted:
            break
    assert wanted == set()


def test_the_messages_are_many_whole_and_mean_something() -> None:
    assert len(MESSAGES) >= 30
    assert len({each.said for each in MESSAGES}) == len(MESSAGES)
    for each in MESSAGES:
        assert all(word in each.said for word in each.words)
        assert set(each.means) <= set(catalogue())


def hits(index: dict[str, tuple[float, ...]], asked: dict[str, set[str]]) -> list[bool]:
    """For each text whether one of its right answers is among the first three."""
    found: list[bool] = []
    for text, right in asked.items():
        vector = embed(ErrorFeatures(message=text))
        best = sorted(index, key=lambda key: -similarity(vector, index[key]))[:3]
        found.append(not right.isdisjoint(best))
    return found


def own() -> dict[str, tuple[float, ...]]:
    """Our errors as they are kept: code, place and words."""
    return {
        entry.code: embed(
            ErrorFeatures(
                code=entry.code,
                kind=entry.code,
                frames=(f"aitrading.{entry.origin.replace('/', '.')}:refuse",),
                message=entry.message,
            )
        )
        for entry in catalogue().values()
    }


def test_recall_at_three_of_what_others_say(capsys: pytest.CaptureFixture[str]) -> None:
    """Words never met lead to our error now and then; words met before are found again."""
    assert (error_embedding.VERSION, error_embedding._WEIGHTS) == (1, FROZEN)
    ours = own()
    kept = {each.said: embed(ErrorFeatures(message=each.said)) for each in MESSAGES}
    first = hits(ours, {each.said: set(each.means) for each in MESSAGES})
    again = hits(
        ours | kept, {AS_LOGGED[each.by].format(said=each.said): {each.said} for each in MESSAGES}
    )
    lines = [
        f"recall@3 {sum(found) / len(found):.3f} of {len(found):>3}: {what}"
        for what, found in (
            ("foreign words met for the first time, among our errors", first),
            ("foreign words met before, as a log shows them", again),
        )
    ]
    with capsys.disabled():
        sys.stdout.write("\n  " + "\n  ".join(lines) + "\n")
    assert sum(first) / len(first) >= FLOOR_FIRST_TIME
    assert sum(again) / len(again) >= FLOOR_SEEN_BEFORE

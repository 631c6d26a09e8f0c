"""Every writer on PostgreSQL has a decision about its lost commit, and it is the one in the code."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import aitrading.server as package

SOURCES: Final = Path(package.__path__[0])
PAGE: Final = Path(__file__).parents[3] / "docs" / "explanation" / "stores.md"
MADE_OF: Final = ("kit/postgres.py", "kit/replay.py", "kit/idempotency.py")
"""What transactions and repeats are made of; it writes for others."""
NO_SERVICE: Final = ("benchmarks", "testing")
DIRECT: Final = frozenset({"comes again", "told"})
_ROW: Final = re.compile(
    r"^\| `(?P<writer>[\w.]+)` \| (?P<answers>[a-z, ]+) \| .+ \|$", re.MULTILINE
)


def decided() -> dict[str, set[str]]:
    """The table of the page: answers by writer."""
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    assert len({writer for writer, _ in rows}) == len(rows), "a writer has two rows"
    return {writer: set(answers.split(", ")) for writer, answers in rows}


@cache
def found() -> dict[str, set[str]]:
    """What the code does: `direct`, `receipt` or `recognised`, by writer."""
    writers: dict[str, set[str]] = defaultdict(set)
    for path in SOURCES.rglob("*.py"):
        place = path.relative_to(SOURCES)
        if place.parts[0] in NO_SERVICE or str(place) in MADE_OF:
            continue
        module = ".".join(place.with_suffix("").parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, function in functions_of(tree):
            for call in ast.walk(function):
                if isinstance(call, ast.Call) and (how := way_of(call)):
                    writers[f"{module}.{name}"].add(how)
    return dict(writers)


def functions_of(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Functions and methods; what is nested in one belongs to it."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield f"{node.name}.{inner.name}", inner


def way_of(call: ast.Call) -> str | None:
    """How a call opens a transaction that may write; None for any other call."""
    if not isinstance(call.func, ast.Attribute):
        return None
    receiver, given = ast.unparse(call.func.value), {each.arg for each in call.keywords}
    attribute, way = call.func.attr, None
    if attribute in {"tenant_tx", "platform_tx"}:
        way = "direct"
    elif attribute == "once" and receiver.endswith(("replay", "writes")):
        way = "receipt" if receiver.endswith("replay") else "recognised"
    elif attribute == "run" and receiver.endswith("replay"):
        way = "recognised" if "idempotent" in given else "direct"
        way = "receipt" if "receipt" in given else way
    return way


def test_every_writer_has_a_decision() -> None:
    assert decided().keys() == found().keys(), (
        "decide in docs/explanation/stores.md what becomes of a lost commit; "
        "who only reads opens `tenant_read` or `platform_read`"
    )


def test_the_code_does_what_was_decided() -> None:
    for writer, ways in found().items():
        answers = {"direct" if each in DIRECT else each for each in decided()[writer]}
        assert answers == ways, writer


def test_a_new_writer_would_be_noticed() -> None:
    tree = ast.parse(
        "async def new(pool):\n    async with pool.platform_tx() as tx:\n        pass"
    )
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    assert [way_of(call) for call in calls] == ["direct"]

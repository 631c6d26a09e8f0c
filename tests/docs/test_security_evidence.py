"""The evidence for OWASP's standard: every requirement once, and what it names is there."""

import ast
import functools
import re
import tomllib
from typing import Any, Final

import pytest

from docs.blocks import ROOT

LEVELS: Final = """
1.1:22 1.2:1111122223 1.3:112222222223 1.4:222 1.5:123 2.1:122 2.2:112 2.3:12223 2.4:23 3.1:3 3.2:113
3.3:12223 3.4:11222233 3.5:11122333 3.6:3 3.7:22333 4.1:12233 4.2:23333 4.3:22 4.4:1222 5.1:2
5.2:112333 5.3:113 5.4:222 6.1:122 6.2:111111112222 6.3:11223333 6.4:112233 6.5:22222333 6.6:2223
6.7:33 6.8:2222 7.1:222 7.2:1111 7.3:22 7.4:11222 7.5:223 7.6:22 8.1:1233 8.2:1123 8.3:133 8.4:23
9.1:111 9.2:1222 10.1:22 10.2:223 10.3:22223 10.4:1111122222233333 10.5:22222 10.6:22 10.7:222
11.1:2233 11.2:22233 11.3:11233 11.4:1222 11.5:23 11.6:23 11.7:33 12.1:12233 12.2:11 12.3:22223
13.1:2333 13.2:222223 13.3:2233 13.4:1222233 14.1:22 14.2:12223333 14.3:122 15.1:12233 15.2:12233
15.3:1222222 15.4:3333 16.1:2 16.2:22222 16.3:2222 16.4:222 16.5:2223 17.1:23 17.2:22223333 17.3:22
"""
"""Version 5.0.0: a section, and the level of each of its requirements in their order."""
EXPECTED: Final = {
    f"{section}.{number}": int(level)
    for section, levels in (each.split(":") for each in LEVELS.split())
    for number, level in enumerate(levels, start=1)
    if level in "12"
}
REVIEWED: Final = tomllib.loads((ROOT / "docs/security/asvs.toml").read_text(encoding="utf-8"))
REQUIREMENTS: Final[dict[str, dict[str, Any]]] = REVIEWED["requirements"]


def test_each_requirement_of_both_levels_is_there_once() -> None:
    assert {number: entry["level"] for number, entry in REQUIREMENTS.items()} == EXPECTED
    assert list(REQUIREMENTS) == list(EXPECTED)
    assert {f"V{number.partition('.')[0]}" for number in EXPECTED} == set(REVIEWED["chapters"])


@pytest.mark.parametrize("number", REQUIREMENTS)
def test_each_has_one_answer_and_what_it_names_is_there(number: str) -> None:
    entry = REQUIREMENTS[number]
    assert set(entry) <= {"level", "says", "shown", "out", "missing", "differs"}
    assert entry["says"].strip()
    shown = entry.get("shown", [])
    assert len(set(shown)) == len(shown)
    if "out" in entry:
        assert entry["out"].strip()
        assert not {"missing", "shown"} & set(entry)
    elif "differs" in entry:
        assert "missing" not in entry
        assert entry["differs"].strip()
        assert any(each.startswith("docs/decisions/") for each in shown), "by which decision?"
    elif "missing" in entry:
        assert entry["missing"].strip()
    else:
        assert shown
    assert [each for each in shown if not exists(each)] == []


def test_a_test_that_is_not_there_is_noticed() -> None:
    here = "tests/docs/test_security_evidence.py"
    assert exists(f"{here}::test_a_test_that_is_not_there_is_noticed")
    assert not exists(f"{here}::test_of_another_name")
    assert not exists(f"{here}::exists")
    assert not exists("docs/security/of-another-name.md")


def exists(evidence: str) -> bool:
    """Whether a file, or a test function in it, is part of the repository."""
    path, separator, test = evidence.partition("::")
    if not (ROOT / path).is_file():
        return False
    return not separator or (test.startswith("test_") and test in functions(path))


@functools.cache
def functions(path: str) -> frozenset[str]:
    """Names of functions at the top of a module or in its classes; nothing is run."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    return frozenset(
        node.name
        for body in bodies
        for node in body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


@pytest.mark.parametrize(
    "page", ["threat-model", "zero-trust", "client-model", "implementation-guide", "data-levels"]
)
def test_each_test_that_a_page_names_is_in_the_file_it_links_to(page: str) -> None:
    text = (ROOT / f"docs/security/{page}.md").read_text(encoding="utf-8")
    named = re.findall(r"\[`(test_\w+)`\]\(\.\./\.\./([^)]+)\)", text)
    assert named
    assert text.count("`test_") == len(named)
    assert [test for test, path in named if not exists(f"{path}::{test}")] == []

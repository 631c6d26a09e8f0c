"""Checks of the house itself that no linter makes for us."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAMESPACE_ROOTS = [ROOT / part / "src" / "aitrading" for part in ("core", "server", "client")]
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=\s]{40}")


def modules() -> Iterator[Path]:
    for root in NAMESPACE_ROOTS:
        yield from root.rglob("*.py")


def tracked() -> list[Path]:
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in names.split("\0") if name]


def test_namespace_root_stays_a_namespace() -> None:
    assert [root for root in NAMESPACE_ROOTS if (root / "__init__.py").exists()] == []


def test_functions_fit_on_a_screen() -> None:
    too_long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno - doc_lines(node) >= FUNCTION_LINES_MAX
    ]
    assert too_long == []


def test_modules_stay_small() -> None:
    too_long = [
        str(path.relative_to(ROOT))
        for path in modules()
        if len(path.read_text(encoding="utf-8").splitlines()) > MODULE_LINES_MAX
    ]
    assert too_long == []


def test_every_room_says_what_it_is() -> None:
    """A package has a docstring; a room without code has a README and nothing that pretends."""
    silent = []
    for root in NAMESPACE_ROOTS:
        for folder in (path for path in root.rglob("*") if path.is_dir()):
            if folder.name == "__pycache__" or not any(folder.iterdir()):
                continue
            package = folder / "__init__.py"
            has_python = any(folder.glob("*.py"))
            if has_python and not ast.get_docstring(ast.parse(package.read_text())):
                silent.append(str(folder.relative_to(ROOT)))
    assert silent == []


@pytest.mark.parametrize("word", ["NotImplementedError", "TODO", "FIXME", "XXX"])
def test_nothing_pretends(word: str) -> None:
    found = [str(path.relative_to(ROOT)) for path in modules() if word in path.read_text()]
    assert found == []


def test_no_private_key_is_committed() -> None:
    leaked = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.is_file() and PRIVATE_KEY.search(path.read_bytes())
    ]
    assert leaked == []


def test_nothing_that_runs_uses_test_code() -> None:
    """Fakes and probes are for tests and benchmarks; they ship, and no service knows them."""
    users = [
        str(path.relative_to(ROOT))
        for path in modules()
        if not {"testing", "benchmarks"} & set(path.parts)
        and re.search(r"aitrading\.(core|server|client)\.testing", path.read_text())
    ]
    assert users == []


def test_nothing_follows_a_redirect() -> None:
    """`http.client` and our own connections never do; whatever would is not imported."""
    follows = re.compile(
        r"^\s*(from|import) (aiohttp|httpx|requests|urllib3|urllib\.request)\b"
        r"|^\s*from urllib import [^\n]*\brequest\b|max_redirects=[1-9]",
        re.MULTILINE,
    )
    assert follows.search("import urllib.request")
    found = [str(path.relative_to(ROOT)) for path in modules() if follows.search(path.read_text())]
    assert found == []


def doc_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    doc = ast.get_docstring(node, clean=False)
    return doc.count("\n") + 1 if doc is not None else 0

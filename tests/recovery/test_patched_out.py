"""Each call site keeps its promise, and the same promise is broken when the site is patched out."""

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness.patching import BROKEN_PROMISE_S, SCENARIOS, Process, Room, patched_out
from harness.probes import SiteView, require_acted
from recovery import scenarios_bridge, scenarios_database, scenarios_elsewhere

from aitrading.core.infrastructure.call_sites import CallSite
from aitrading.core.kit.errors import AitradingError
from aitrading.server.testing.engines import socket_folder

ROOT = Path(__file__).parents[2]
SCENES = (scenarios_bridge, scenarios_database, scenarios_elsewhere)
"""Importing them registers their scenarios."""
SITES = {name: site for name, (site, _) in SCENARIOS.items()}
UNTOUCHED = SiteView(acts=0, active=False, last_error=None, counted=0, gauge=0)
every_site = pytest.mark.parametrize("site", SITES.values(), ids=SITES)


@pytest.fixture
def room() -> Iterator[Room]:
    """A home whose path is short enough for Unix sockets."""
    with socket_folder() as folder:
        yield Room(Path(folder))


def keep_promise(site: CallSite, room: Room) -> Process:
    """Bring the site's fault about; a fault that comes through is a broken promise too."""
    _, scenario = SCENARIOS[site.name]
    try:
        return asyncio.run(scenario(room))
    except (AitradingError, TimeoutError, ExceptionGroup) as through:
        raise AssertionError(f"the fault came through {site.name}") from through


@every_site
def test_the_site_keeps_its_promise_and_says_so(site: CallSite, room: Room) -> None:
    require_acted(site, UNTOUCHED, keep_promise(site, room).view(site))


@every_site
def test_patched_out_the_promise_is_broken(site: CallSite, room: Room) -> None:
    room.patience_s = BROKEN_PROMISE_S
    with patched_out(site), pytest.raises(AssertionError):
        keep_promise(site, room)


def test_every_declared_site_has_a_scenario_and_a_test_on_the_platform() -> None:
    declared = set(declared_names())
    assert declared == set(SITES)
    tested = {site_of(test, declared) for test in platform_tests()}
    assert declared <= tested, f"no test here is named after {declared - tested}"


def site_of(test: str, names: set[str]) -> str | None:
    """The site after which a test is named; the longest name counts."""
    matching = [name for name in names if test.startswith(f"test_{slug(name)}_")]
    return max(matching, key=len, default=None)


def declared_names() -> Iterator[str]:
    """The names of all `CallSite` constants in the sources."""
    for path in ROOT.glob("*/src/aitrading/**/*.py"):
        text = path.read_text(encoding="utf-8")
        if re.search(r"= CallSite\(", text):
            yield from names_in(ast.parse(text))


def names_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "CallSite":
            yield from (
                str(given.value.value)
                for given in node.keywords
                if given.arg == "name" and isinstance(given.value, ast.Constant)
            )


def platform_tests() -> set[str]:
    """Names of the tests beside this file."""
    return {
        node.name
        for path in Path(__file__).parent.glob("test_*.py")
        if path != Path(__file__)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def slug(name: str) -> str:
    return re.sub(r"[.-]", "_", name)

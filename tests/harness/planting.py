"""Weaknesses put into the running code one at a time, to see whether the tests would notice them.

A weakness is one function with one piece of its source replaced; the function keeps its identity, so
whoever imported it runs the weak one. When the source no longer holds the piece, planting fails:
then the weakness is described anew, and nobody believes in a test that tests nothing.
"""

import importlib.util
import inspect
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any
from unittest.mock import patch

import pytest

from aitrading.core.testing import eventually

ROOT = Path(__file__).parents[2]
RED_AFTER_S = 20.0
"""What weak code does not do is waited for until then."""


@dataclass(frozen=True, kw_only=True)
class Weakness:
    """What is changed, and the test that must turn red."""

    function: Callable[..., Any] | property
    piece: str
    weak: str
    found_by: str
    """`path::test`; a parametrised one is tried with each of its parameters."""


@contextmanager
def planted(weakness: Weakness) -> Iterator[None]:
    """The weak code, until the end of the block."""
    function = _plain(weakness.function)
    assert isinstance(function, FunctionType)
    source = textwrap.dedent(inspect.getsource(function))
    assert source.count(weakness.piece) == 1, f"{function.__qualname__} reads otherwise now"
    made: dict[str, Any] = {}
    code = compile(
        source.replace(weakness.piece, weakness.weak), function.__code__.co_filename, "exec"
    )
    exec(code, function.__globals__, made)  # noqa: S102 - our own source, one piece of it changed
    (weak,) = (_plain(each) for each in made.values())
    sound, function.__code__ = function.__code__, weak.__code__
    try:
        yield
    finally:
        function.__code__ = sound


def _plain(function: Any) -> Any:
    """Without what decorators put around it."""
    return inspect.unwrap(function.fget if isinstance(function, property) else function)


def turns_red(found_by: str, **fixtures: Any) -> bool:
    """Whether the test fails, with any of its parameters."""
    path, _, name = found_by.partition("::")
    test = getattr(_module(ROOT / path), name)
    for parameters in _parameters(test):
        inspect.signature(test).bind(
            **fixtures, **parameters
        )  # else a test that cannot run is red
        try:
            with patch.object(eventually, "WAIT_S", RED_AFTER_S):
                test(**fixtures, **parameters)
        except (Exception, pytest.fail.Exception):  # noqa: BLE001 - whatever makes a test red
            return True
    return False


def _module(path: Path) -> ModuleType:
    name = "planted_" + "_".join(path.relative_to(ROOT).with_suffix("").parts)
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


def _parameters(test: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    marks = [mark for mark in getattr(test, "pytestmark", []) if mark.name == "parametrize"]
    if not marks:
        yield {}
        return
    (mark,) = marks
    names, values = mark.args
    listed = [part.strip() for part in names.split(",")] if isinstance(names, str) else list(names)
    for value in values:
        yield dict(zip(listed, value if len(listed) > 1 else (value,), strict=True))

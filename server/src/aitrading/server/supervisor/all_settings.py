"""Every section of settings of the server, found where they are declared."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any, Final

import aitrading.server

SUFFIX: Final = "settings"


def all_sections() -> tuple[type[Any], ...]:
    """The section classes in the server's modules named `…settings`; loads these modules."""
    found = {cls for module in _settings_modules() for cls in _sections_in(module)}
    return tuple(sorted(found, key=lambda cls: cls.SECTION))


def _settings_modules() -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(aitrading.server.__path__, "aitrading.server."):
        if found.name.endswith(SUFFIX) and found.name != __name__:
            yield importlib.import_module(found.name)


def _sections_in(module: ModuleType) -> Iterator[type[Any]]:
    values: list[Any] = list(vars(module).values())
    for value in values:
        if isinstance(value, type) and is_dataclass(value) and hasattr(value, "SECTION"):
            yield value

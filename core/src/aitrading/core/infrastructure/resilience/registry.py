"""Every breaker, bulkhead, retry, fallback and isolation of a process, by kind and name."""

from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol, TypeVar

import msgspec

MAX_PARTS: Final = 1_000

P = TypeVar("P", bound="ResiliencePart")


class PartStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """The base of what a part tells; every field is a number, a text, a flag or None."""


class ResiliencePart(Protocol):
    """Something that acts on faults and can say what it did."""

    kind: ClassVar[str]
    """One of `breaker`, `bulkhead`, `fallback`, `isolation`, `retry`."""

    @property
    def name(self) -> str:
        """Unique among its kind in this process."""
        ...

    def statistics(self) -> PartStatistics:
        """A snapshot, cheap enough to take at every scrape."""
        ...


class GuardPart(ResiliencePart, Protocol):
    """A breaker, bulkhead or fallback: it tells when it acts on a fault."""

    on_act: Callable[[Exception | None], None]
    """Called at each act with its cause, where there is one; must not raise."""

    @property
    def is_acting(self) -> bool:
        """Whether it acts on a fault right now."""
        ...


def unheard(cause: Exception | None) -> None:
    """What a guard calls that stands at no call site."""
    del cause


class ResilienceRegistry:
    """What health and metrics read; one per process, filled by the composition root."""

    def __init__(self) -> None:
        self._parts: dict[tuple[str, str], ResiliencePart] = {}

    def add(self, part: P) -> P:
        """Register and return the part; a second one of that kind and name is a mistake."""
        key = (part.kind, part.name)
        if key in self._parts:
            raise ValueError(f"a {part.kind} named {part.name!r} is registered already")
        if len(self._parts) >= MAX_PARTS:
            raise ValueError(f"more than {MAX_PARTS} resilience parts: names must be static")
        self._parts[key] = part
        return part

    def parts(self) -> list[ResiliencePart]:
        """All parts, ordered by kind and name."""
        return [self._parts[key] for key in sorted(self._parts)]

    def report(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Statistics by kind and name, ready for JSON."""
        report: dict[str, dict[str, dict[str, Any]]] = {}
        for part in self.parts():
            report.setdefault(part.kind, {})[part.name] = msgspec.to_builtins(part.statistics())
        return report

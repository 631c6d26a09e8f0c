"""A fault and its story: what some call sites told before, during and after it."""

import http.client
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aitrading.core.infrastructure.call_sites import CallSite
from harness.platform import Platform, wait_until
from harness.probes import (
    PROBE_TIMEOUT_S,
    Answer,
    SiteView,
    UnixConnection,
    ask,
    has_acted,
    is_at_rest,
    require_acted,
    site_view,
)

CLIENT = "demo-client"
ACT_TIMEOUT_S = 60.0
REST_TIMEOUT_S = 90.0
GO_ON_TIMEOUT_S = 60.0
"""For what must go on; somebody who repeats a call may have to wait ten seconds for the next one."""


def probe(platform: Platform, process: str, path: str) -> Answer:
    """Ask a service, the demo's client, or a client by its port, about itself."""
    if process == CLIENT:
        process = str(platform.told()["clients"][CLIENT]["port"])
    if process.isdigit():
        connection = http.client.HTTPConnection("127.0.0.1", int(process), timeout=PROBE_TIMEOUT_S)
    else:
        connection = UnixConnection(platform.home / "run" / f"{process}.sock")
    return ask(connection, path)


def look(platform: Platform, place: "Place") -> SiteView:
    """How a process shows a site now."""
    report = probe(platform, place.process, "/health").json()
    metrics = probe(platform, place.process, "/metrics").body.decode()
    return site_view(place.site, report, metrics)


@dataclass(frozen=True)
class Place:
    """A call site in one process: a service, the demo's client, or a client's port."""

    process: str
    site: CallSite

    def __str__(self) -> str:
        return f"{self.site.name} in {self.process}"


@dataclass
class Episode:
    """Made before the fault; `while_it_lasts` inside of it, `afterwards` when it is over.

    It begins once no site of its own acts any more on what an earlier episode did.
    """

    platform: Platform
    places: tuple[Place, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    """Whatever else was seen, for the tests to judge."""
    before: dict[Place, SiteView] = field(init=False)
    during: dict[Place, SiteView] = field(default_factory=dict)
    after: dict[Place, SiteView] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def at_rest() -> dict[Place, SiteView] | None:
            views = self._look()
            return views if all(map(is_at_rest, views.values())) else None

        self.before = wait_until(
            at_rest, what=f"rest before {self.places}", timeout_s=REST_TIMEOUT_S
        )

    def while_it_lasts(
        self, timeout_s: float = ACT_TIMEOUT_S, *, ask: Callable[[], object] = lambda: None
    ) -> None:
        """Wait until every site has acted; the tests judge what was seen.

        `ask` comes before each look, for sites that act only when somebody asks for something.
        """
        seen: dict[Place, SiteView] = {}

        def all_acted() -> bool:
            ask()
            for place in self.places:
                if place not in seen or not has_acted(self.before[place], seen[place]):
                    seen[place] = look(self.platform, place)
            return all(has_acted(self.before[place], seen[place]) for place in self.places)

        patiently(all_acted, timeout_s)
        self.during = seen

    def afterwards(
        self, timeout_s: float = REST_TIMEOUT_S, *, ask: Callable[[], object] = lambda: None
    ) -> None:
        """Wait until no site acts any more; the tests judge what was seen. `ask` as above."""
        seen: dict[Place, SiteView] = {}

        def all_at_rest() -> bool:
            ask()
            seen.update(self._look())
            return all(is_at_rest(view) for view in seen.values())

        patiently(all_at_rest, timeout_s)
        self.after = seen

    def require(self, site: CallSite, *, rests: bool = True) -> None:
        """The site acted in each of its processes, and rests again."""
        places = [place for place in self.places if place.site is site]
        assert places, f"{site.name} is no part of this episode"
        for place in places:
            assert place in self.during, f"{place} could not be asked"
            require_acted(site, self.before[place], self.during[place])
            assert not rests or is_at_rest(self.after[place]), f"{place}: {self.after[place]}"

    def _look(self) -> dict[Place, SiteView]:
        return {place: look(self.platform, place) for place in self.places}


def patiently(probe_once: Any, timeout_s: float) -> bool:
    """Whether it became true in time."""
    try:
        wait_until(probe_once, what="it", timeout_s=timeout_s)
    except AssertionError:
        return False
    return True


def quotes(platform: Platform, person: str = "demo/trader") -> dict[str, Any]:
    """A tenant's quotes by symbol."""
    found = platform.get("/api/v1/quotes", person=person)["items"]
    return {quote["symbol"]: quote for quote in found}


def quotes_move(platform: Platform, timeout_s: float = GO_ON_TIMEOUT_S) -> bool:
    """Whether live quotes of the demo still arrive."""
    seen: set[str] = set()

    def moved() -> bool:
        seen.add(quotes(platform)["EURUSD"]["time"])
        return len(seen) > 1

    return patiently(moved, timeout_s)


def ticks_are_stored(platform: Platform, timeout_s: float = GO_ON_TIMEOUT_S) -> bool:
    """Whether ticks of the demo still become history."""
    began = wait_until(lambda: platform.history("EURUSD"), what="the history")[-1]
    return patiently(lambda: platform.history("EURUSD")[-1] > began, timeout_s)

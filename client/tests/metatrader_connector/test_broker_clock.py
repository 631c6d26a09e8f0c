"""No tick is stored an hour wrong, in no night in which clocks change, whatever becomes of the client."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrading.client.metatrader_connector.broker_clock import (
    BrokerClock,
    BrokerOffset,
    last_night_ms,
)
from aitrading.core.domain.zones import HOUR_S, Zone, next_change, offset_s

NEW_YEAR_S = 1_767_225_600
"""2026."""
BEFORE_S, AFTER_S = 3 * HOUR_S, 2 * HOUR_S
Rule = Callable[[int], int]


def night(zone: Zone, number: int) -> int:
    moment = next_change(zone, NEW_YEAR_S)
    while number and moment:
        moment, number = next_change(zone, moment), number - 1
    assert moment
    return moment


NIGHTS = [night(zone, number) for zone in (Zone.NEW_YORK, Zone.LONDON) for number in (0, 1)]
RULES: dict[str, Rule] = {
    "New York's": lambda utc_s: offset_s(Zone.NEW_YORK, utc_s) + 7 * HOUR_S,
    "Europe's": lambda utc_s: offset_s(Zone.LONDON, utc_s) + 2 * HOUR_S,
    "none": lambda _: 2 * HOUR_S,
}


@dataclass
class Client:
    """What the poller does: asks, learns, stores what is certain; forgets all else when it ends."""

    rule: Rule
    clock: BrokerClock
    kept: BrokerOffset | None = None
    newest_ms: int = 0
    taken: int = 0

    def poll(self, ticks: list[int], now_ms: int, *, is_in_time: bool, stale_ms: int) -> None:
        seen = [tick for tick in ticks if tick <= now_ms]
        shown = np.array([tick + self.rule(tick // 1_000) * 1_000 for tick in seen], np.int64)
        if is_in_time and stale_ms:
            self.clock.arrived(now_ms - stale_ms + self.rule(now_ms // 1_000) * 1_000, now_ms)
        if is_in_time and seen and seen[-1] > now_ms - 5_000:
            self.clock.arrived(int(shown[-1]), now_ms)
        self.kept = self.clock.offset
        while True:
            count, offset = self.clock.certain(shown[self.taken :])
            if not count:
                return
            stored = shown[self.taken : self.taken + count] - offset * 1_000
            assert stored.tolist() == seen[self.taken : self.taken + count], "an hour wrong"
            self.taken += count
            self.newest_ms = int(stored[-1])

    def restart(self) -> None:
        self.clock = BrokerClock(self.kept, settled_ms=self.newest_ms)


@settings(max_examples=400, deadline=None)
@given(
    moment_s=st.sampled_from(NIGHTS),
    rule=st.sampled_from(sorted(RULES)),
    rate_s=st.integers(20, 400),
    polls=st.lists(st.integers(1, 1_500), min_size=5, max_size=60),
    restarts=st.sets(st.integers(0, 60)),
    stale_ms=st.sampled_from((0, 900_000, 3_600_000)),
)
def test_every_tick_keeps_its_time_through_a_night_of_changing_clocks(
    moment_s: int, rule: str, rate_s: int, polls: list[int], restarts: set[int], stale_ms: int
) -> None:
    """Between polls there may be minutes, as when the client was off or the link to the broker was."""
    of = RULES[rule]
    starts_s = moment_s - BEFORE_S
    times = range(starts_s, moment_s + AFTER_S, rate_s)
    ticks = [second * 1_000 for second in times if of(second) >= of(second - HOUR_S)]
    client = Client(of, BrokerClock())
    client.poll(ticks, starts_s * 1_000, is_in_time=True, stale_ms=0)
    now_s = starts_s
    for number, pause_s in enumerate(polls):
        now_s += pause_s
        if number in restarts:
            client.restart()
        client.poll(
            ticks, now_s * 1_000, is_in_time=pause_s <= 5, stale_ms=stale_ms * (number % 7 == 3)
        )
    for tick in ticks[-8:]:
        client.poll(ticks, max(tick, now_s * 1_000), is_in_time=True, stale_ms=0)
    if now_s * 1_000 < ticks[-8]:
        assert client.taken == len(ticks), "nothing is held back for ever"


@pytest.mark.parametrize("ahead_s", [HOUR_S, -HOUR_S, 2 * HOUR_S])
def test_a_broker_that_changes_its_clock_in_no_known_night_is_believed_by_agreement(
    ahead_s: int,
) -> None:
    noon_s = NEW_YEAR_S + 40 * 86_400
    silence_s = max(0, -ahead_s)

    def rule(utc_s: int) -> int:
        return 2 * HOUR_S + (ahead_s if utc_s >= noon_s else 0)

    earlier, later = range(noon_s - 60, noon_s), range(noon_s + silence_s, noon_s + silence_s + 60)
    ticks = [second * 1_000 for second in (*earlier, *later)]
    client = Client(rule, BrokerClock())
    for tick in ticks:
        client.poll(ticks, tick, is_in_time=True, stale_ms=0)
    assert client.taken == len(ticks)


def test_what_a_stale_tick_contradicts_waits_for_the_next_one() -> None:
    clock = BrokerClock()
    clock.arrived(NEW_YEAR_S * 1_000 + 7_200_000, NEW_YEAR_S * 1_000)
    fresh = np.array([NEW_YEAR_S * 1_000 + 7_200_000 + 500], np.int64)
    assert clock.certain(fresh) == (1, 7_200)
    clock.arrived(NEW_YEAR_S * 1_000 + 3_600_000, NEW_YEAR_S * 1_000 + 400)
    assert clock.certain(fresh)[0] == 0
    clock.arrived(int(fresh[0]), NEW_YEAR_S * 1_000 + 500)
    assert clock.certain(fresh) == (1, 7_200)


@pytest.mark.parametrize("moment_s", NIGHTS)
def test_a_repair_over_the_night_has_both_offsets(moment_s: int) -> None:
    before_s = RULES["Europe's"](moment_s - 1)
    offset = BrokerOffset(
        offset_s=5 * HOUR_S - before_s, before_s=before_s, since_ms=moment_s * 1_000
    )
    for utc_ms in (moment_s * 1_000 - 1, moment_s * 1_000 + HOUR_S * 1_000):
        shown = np.array([utc_ms + offset.at(utc_ms) * 1_000], np.int64)
        assert offset.of(shown).tolist() == [offset.at(utc_ms)]


@pytest.mark.parametrize("moment", [*NIGHTS, NIGHTS[0] + 5 * 24 * HOUR_S, NIGHTS[0] - 1])
def test_the_last_night_is_the_newest_of_both_zones(moment: int) -> None:
    found = last_night_ms(moment * 1_000) // 1_000
    zones = (Zone.NEW_YORK, Zone.LONDON)
    assert found <= moment
    assert all(following > moment for zone in zones if (following := next_change(zone, found)))
    assert any(next_change(zone, found - 1) == found for zone in zones)


def test_a_first_arrival_says_nothing_of_the_time_before_the_last_night() -> None:
    clock = BrokerClock()
    now_ms = (NIGHTS[0] + 40 * HOUR_S) * 1_000
    clock.arrived(now_ms + BEFORE_S * 1_000, now_ms)
    assert clock.offset is not None
    assert clock.offset.known_from_ms == NIGHTS[0] * 1_000

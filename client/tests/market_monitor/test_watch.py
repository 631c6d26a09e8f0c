"""Rules: what is understood, and that each alert begins once and ends once."""

from decimal import Decimal

import numpy as np
import pytest

from aitrading.client.market_monitor.watch import BUCKETS, CALM_GAP_MS, Watch
from aitrading.core.domain.alert_rules import Watched, parse_rules
from aitrading.core.domain.market import TICK_DTYPE, TickArray
from aitrading.core.kit.errors import AitradingError


def ticks(*prices: tuple[int, int]) -> TickArray:
    rows = np.zeros(len(prices), TICK_DTYPE)
    rows["bid"], rows["ask"] = zip(*prices, strict=True)
    return rows


def watch(text: str) -> Watch:
    [rule] = parse_rules(text)
    return Watch(rule, "EURUSD")


def told(one: Watch, *prices: tuple[int, int], at_ms: int = 1_000) -> bool | None:
    change = one.on_ticks(ticks(*prices), at_ms)
    return None if change is None else change.raised


def test_rules_are_read_as_they_are_written() -> None:
    spread, silence, move, gap = parse_rules(
        " EURUSD  spread>20<12 ; * silence>2m; XAUUSD move>0.5%/60s; GBPUSD gap>150;"
    )
    assert (spread.symbol, spread.limit, spread.calm) == ("EURUSD", 20, 12)
    assert (silence.what, silence.limit, silence.calm) == (Watched.SILENCE, 120, 96)
    assert (move.limit, move.is_percent, move.window_s) == (Decimal("0.5"), True, 60)
    assert gap.applies_to("GBPUSD")
    assert not gap.applies_to("EURUSD")
    assert silence.applies_to("anything")


@pytest.mark.parametrize(
    "text",
    [
        "EURUSD", "EURUSD spread", "EURUSD spread>", "EURUSD spread>x", "EURUSD spread>0",
        "EURUSD spread>5<5", "EURUSD speed>5", "EURUSD silence>5", "EURUSD silence>5%",
        "EURUSD silence>5s/60s", "EURUSD spread>5s", "EURUSD move>5", "EURUSD spread>5/60s",
        "EURUSD move>5/25h", "EURUSD spread>101%", "EURUSD gap>1e9", "EURUSD spread>5, GBPUSD gap>5",
        "EURUSD spread>5; EURUSD spread>6", "EURUSD silence>8d", "EUR USD spread>5",
        "EURUSD spread>\u0665", ";".join(f"S{n} gap>5" for n in range(65)), "x" * 5_000,
    ],
)  # fmt: skip
def test_a_rule_that_is_not_understood_is_refused_with_itself(text: str) -> None:
    with pytest.raises(AitradingError) as refusal:
        parse_rules(text)
    assert refusal.value.code == "ALERT_RULE_MALFORMED"


def test_a_wide_spread_is_told_once_until_it_is_calm() -> None:
    one = watch("EURUSD spread>20<12")
    assert told(one, (100, 115)) is None
    assert told(one, (100, 121), (100, 110)) is True, "the widest of a batch counts"
    assert told(one, (100, 115)) is None, "between calm and limit nothing is told"
    assert told(one, (100, 125)) is None
    assert told(one, (100, 130), (100, 111)) is None, "one of the batch was over the limit"
    assert told(one, (100, 111)) is False
    assert told(one, (100, 111)) is None


def test_per_cent_are_of_the_price() -> None:
    one = watch("EURUSD spread>0.5%")
    assert told(one, (10_000, 10_050)) is None
    assert told(one, (10_000, 10_052)) is True
    assert one.value == Decimal("0.518652")


def test_a_move_is_seen_within_its_window_and_over_with_it() -> None:
    one = watch("EURUSD move>100/60s")
    assert told(one, (1_000, 1_000), at_ms=0) is None
    assert told(one, (1_060, 1_060), at_ms=30_000) is None
    assert told(one, (1_120, 1_120), at_ms=50_000) is True
    assert one.on_time(89_000, is_open=True, since_ms=0) is not None, "the first price left"
    for second in range(10_000):
        told(one, (1_000 + second % 7, 1_010), at_ms=100_000 + second * 100)
    assert one.remembered <= BUCKETS + 1


def test_a_gap_is_between_neighbours_also_of_two_batches() -> None:
    one = watch("EURUSD gap>50")
    assert told(one, (1_000, 1_010), (1_040, 1_050)) is None
    assert told(one, (1_100, 1_110), at_ms=2_000) is True
    assert told(one, (1_200, 1_210), at_ms=3_000) is None, "it lasts longer"
    assert one.on_time(3_000 + CALM_GAP_MS - 1, is_open=True, since_ms=0) is None
    ended = one.on_time(3_000 + CALM_GAP_MS, is_open=True, since_ms=0)
    assert ended is not None
    assert not ended.raised


def test_silence_counts_while_ticks_are_due() -> None:
    one = watch("EURUSD silence>30s<5s")
    assert one.on_time(20_000, is_open=True, since_ms=0) is None
    assert one.on_time(40_000, is_open=False, since_ms=0) is None, "the market is closed"
    raised = one.on_time(40_000, is_open=True, since_ms=0)
    assert raised is not None
    assert (raised.raised, raised.value) == (True, 40)
    assert one.on_time(90_000, is_open=True, since_ms=0) is None
    assert told(one, (100, 101), at_ms=95_000) is False

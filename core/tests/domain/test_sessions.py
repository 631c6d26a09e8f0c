"""Trading calendars against the plain rules they stand for."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aitrading.core.domain.market_hours import problem_of, shipped_hours
from aitrading.core.domain.sessions import Calendar, MarketState
from aitrading.core.domain.symbols import InstrumentClass, canonical_of
from aitrading.core.domain.zones import Zone, local_of, offset_s, utc_of

ZONES = {
    Zone.NEW_YORK: ZoneInfo("America/New_York"),
    Zone.LONDON: ZoneInfo("Europe/London"),
    Zone.FRANKFURT: ZoneInfo("Europe/Berlin"),
    Zone.TOKYO: ZoneInfo("Asia/Tokyo"),
    Zone.UTC: ZoneInfo("UTC"),
}
FROM = int(datetime(2026, 1, 2, tzinfo=UTC).timestamp())
UNTIL = int(datetime(2030, 12, 20, tzinfo=UTC).timestamp())
MOMENTS = st.integers(FROM, UNTIL)
OPEN, CLOSED, UNKNOWN = MarketState.OPEN, MarketState.CLOSED, MarketState.UNKNOWN


def at(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


def of(symbol: str) -> Calendar:
    calendar = shipped_hours().calendar(symbol)
    assert calendar is not None
    return calendar


@given(zone=st.sampled_from(Zone), moment=MOMENTS)
@settings(max_examples=80)
def test_daylight_saving_is_computed_as_the_law_has_it(zone: Zone, moment: int) -> None:
    there = datetime.fromtimestamp(moment, ZONES[zone])
    shift = there.utcoffset()
    assert shift is not None
    assert offset_s(zone, moment) == shift.total_seconds()
    back = utc_of(zone, local_of(zone, moment))
    assert back == moment or moment - back == 3_600  # of an hour that comes twice, the first


@pytest.mark.parametrize(
    ("zone", "before", "after"),
    [
        (Zone.NEW_YORK, "2026-03-08T06:59:59", "2026-03-08T07:00:00"),
        (Zone.NEW_YORK, "2026-11-01T05:59:59", "2026-11-01T06:00:00"),
        (Zone.FRANKFURT, "2027-03-28T00:59:59", "2027-03-28T01:00:00"),
        (Zone.FRANKFURT, "2027-10-31T00:59:59", "2027-10-31T01:00:00"),
    ],
)
def test_clocks_step_in_both_nights_of_a_year(zone: Zone, before: str, after: str) -> None:
    assert abs(offset_s(zone, at(after)) - offset_s(zone, at(before))) == 3_600


@given(moment=MOMENTS)
@settings(max_examples=80)
def test_currencies_trade_from_sunday_to_friday_five_o_clock_in_new_york(moment: int) -> None:
    there = datetime.fromtimestamp(moment, ZONES[Zone.NEW_YORK])
    trading_day = (there + timedelta(hours=7)).date()  # 17:00 begins the next day
    holiday = (trading_day.month, trading_day.day) in {(12, 25), (1, 1)}
    expected = CLOSED if trading_day.weekday() >= 5 or holiday else OPEN
    assert of("EURUSD").at(moment).state is expected


@given(moment=MOMENTS)
@settings(max_examples=50)
def test_shares_trade_in_regular_hours_only(moment: int) -> None:
    there = datetime.fromtimestamp(moment, ZONES[Zone.NEW_YORK])
    in_hours = there.weekday() < 5 and (9, 30) <= (there.hour, there.minute) < (16, 0)
    if of("AAPL.US").at(moment).state is OPEN:
        assert in_hours
    elif in_hours:
        assert of("AAPL.US").at(moment).why != "outside the weekly sessions"


@given(symbol=st.sampled_from(["EURUSD", "XAUUSD", "US500", "USOIL", "AAPL.US"]), moment=MOMENTS)
@settings(max_examples=50)
def test_the_next_change_is_the_first_moment_with_another_answer(symbol: str, moment: int) -> None:
    calendar = of(symbol)
    now = calendar.at(moment)
    assert now.since_s is not None
    assert now.until_s is not None
    assert now.since_s <= moment < now.until_s
    assert calendar.at(now.until_s - 1).state is now.state
    assert calendar.at(now.until_s).state is not now.state
    assert calendar.at(now.since_s).state is now.state
    assert calendar.at(now.since_s - 1).state is not now.state


@pytest.mark.parametrize(
    ("symbol", "moment", "expected"),
    [
        ("XAUUSD", "2026-07-15T20:59:59", OPEN),  # daylight saving: 17:00 is 21:00 UTC
        ("XAUUSD", "2026-07-15T21:00:00", CLOSED),
        ("XAUUSD", "2026-07-15T22:00:00", OPEN),
        ("XAUUSD", "2026-12-02T21:30:00", OPEN),  # standard time: 17:00 is 22:00 UTC
        ("XAUUSD", "2026-12-02T22:30:00", CLOSED),
        ("XAUUSD", "2026-11-26T20:00:00", CLOSED),  # Thanksgiving ends at 14:30
        ("XAUUSD", "2026-11-26T19:00:00", OPEN),
        ("EURUSD", "2026-11-26T20:00:00", OPEN),
        ("US30", "2026-11-27T18:14:00", OPEN),
        ("US30", "2026-11-27T18:15:00", CLOSED),
        ("US30", "2027-03-26T15:00:00", CLOSED),  # Good Friday
        ("EURUSD", "2027-03-26T15:00:00", OPEN),
        ("BTCUSD", "2026-12-25T12:00:00", OPEN),
        ("BTCUSD", "2040-01-07T12:00:00", OPEN),
        ("AAPL.US", "2026-11-27T17:59:00", OPEN),
        ("AAPL.US", "2026-11-27T18:00:00", CLOSED),
        ("EURUSD", "2031-02-05T12:00:00", UNKNOWN),  # holidays of that year are not known
        ("EURUSD", "2031-02-08T12:00:00", CLOSED),  # a Saturday needs no holiday
    ],
)
def test_known_moments(symbol: str, moment: str, expected: MarketState) -> None:
    assert of(symbol).at(at(moment)).state is expected


@pytest.mark.parametrize(
    ("symbol", "canonical", "kind"),
    [
        ("EURUSD", "EURUSD", "forex"), ("EURUSDm", "EURUSD", "forex"),
        ("EURUSD.r", "EURUSD", "forex"), ("#EURUSD", "EURUSD", "forex"),
        ("GBPJPY-ECN", "GBPJPY", "forex"), ("XAUUSD.", "XAUUSD", "metals"),
        ("GOLD", "XAUUSD", "metals"), ("BTCUSDT", "BTCUSDT", "crypto"),
        ("US30.cash", "US30", "indices"), ("USTECm", "US100", "indices"),
        ("XBRUSD", "BRENT", "energies"), ("TSLA.NAS", "TSLA", "stocks"),
    ],
)  # fmt: skip
def test_a_brokers_spelling_is_understood(symbol: str, canonical: str, kind: str) -> None:
    assert canonical_of(symbol) == (canonical, InstrumentClass(kind))


@pytest.mark.parametrize("symbol", ["EURUSDT", "eurusd", "ABC", "EUREUR", "", "USDX", "EURUSDXYZ"])
def test_what_could_be_something_else_has_no_calendar(symbol: str) -> None:
    assert canonical_of(symbol) is None
    assert shipped_hours().calendar(symbol) is None


def test_an_organisations_words_win() -> None:
    hours = shipped_hours().changed(
        symbols="Gold.x=metals XAUUSD; ABC=crypto",
        sessions="forex new-york Sun 17:05-Fri 16:55; metals always",
        closures="forex 2026-11-30T10:00/2026-11-30T12:00 maintenance",
    )
    forex, gold, odd = (hours.calendar(symbol) for symbol in ("EURUSDm", "Gold.x", "ABC"))
    assert forex is not None
    assert gold is not None
    assert odd is not None
    assert forex.at(at("2026-12-04T21:56:00")).state is CLOSED
    assert of("EURUSD").at(at("2026-12-04T21:56:00")).state is OPEN
    now = forex.at(at("2026-11-30T15:30:00"))
    assert (now.state, now.why, now.until_s) == (
        CLOSED, "maintenance", at("2026-11-30T17:00:00"),
    )  # fmt: skip
    assert gold.at(at("2026-12-05T12:00:00")).state is OPEN
    assert odd.at(at("2026-12-05T12:00:00")).state is OPEN


@pytest.mark.parametrize(
    "words",
    [
        {"symbols": "EURUSD"}, {"symbols": "A=nonsense"}, {"sessions": "forex mars Sun 1:00"},
        {"sessions": "forex new-york Sun 17:00"}, {"closures": "forex tomorrow"},
        {"closures": "forex 2026-01-02T00:00/2026-01-01T00:00"},
        {"closures": "forex 2026-01-01T00:00Z/2026-01-02T00:00Z"},
    ],
)  # fmt: skip
def test_words_nobody_understands_are_refused(words: dict[str, str]) -> None:
    assert problem_of(**words) is not None
    assert problem_of() is None

"""What is measured of a terminal's month, and that it outlives everybody."""

import asyncio
from pathlib import Path

import pytest

from aitrading.client.doctor import Verdict, availability_findings
from aitrading.client.terminal.availability import (
    FILE_NAME,
    MONTHS_MAX,
    AvailabilityLedger,
    TerminalState,
    read_availability,
)
from aitrading.core.testing.manual_clock import ManualClock

MONTH_S = 31 * 86_400


def advance(clock: ManualClock, seconds: float) -> None:
    asyncio.run(clock.advance(seconds))


def answer_for(ledger: AvailabilityLedger, clock: ManualClock, seconds: int) -> None:
    for _ in range(seconds // 30):
        advance(clock, 30)
        ledger.heard("mt5")


def test_each_second_is_what_was_proved_of_it(tmp_path: Path) -> None:
    clock = ManualClock()
    ledger = AvailabilityLedger(tmp_path / FILE_NAME, clock)
    ledger.heard("mt5")
    answer_for(ledger, clock, 3_000)
    advance(clock, 20)
    ledger.failed("mt5", TerminalState.WEDGED)  # asked 20 s ago, and given up now
    advance(clock, 5)
    ledger.failed("mt5", TerminalState.AWAY)  # the next process cannot connect either
    advance(clock, 35)
    ledger.heard("mt5")
    month = ledger.this_month("mt5")
    assert (month.up_s, month.wedged_s, month.away_s, month.failures) == (3_000, 25, 35, 1)
    assert month.share == 3_000 / 3_060


def test_time_in_which_nobody_asked_is_not_counted(tmp_path: Path) -> None:
    clock = ManualClock()
    ledger = AvailabilityLedger(tmp_path / FILE_NAME, clock)
    ledger.heard("mt5")
    advance(clock, 3_600)  # the machine slept
    ledger.heard("mt5")
    assert ledger.this_month("mt5").measured_s == 0


def test_it_outlives_a_killed_client_and_an_outage_that_lasts_counts(tmp_path: Path) -> None:
    clock = ManualClock()
    ledger = AvailabilityLedger(tmp_path / FILE_NAME, clock)
    ledger.heard("mt5")
    answer_for(ledger, clock, 60)
    ledger.failed("mt5", TerminalState.AWAY)
    advance(clock, 40)
    ledger.store(ledger.encoded())
    again = AvailabilityLedger(tmp_path / FILE_NAME, clock)  # the other one was killed here
    advance(clock, 500)
    again.heard("mt5")
    month = again.this_month("mt5")
    assert (month.up_s, month.away_s) == (60, 40)


def test_months_are_kept_apart_and_bounded(tmp_path: Path) -> None:
    clock = ManualClock()
    ledger = AvailabilityLedger(tmp_path / FILE_NAME, clock)
    ledger.heard("mt5")
    for _ in range(MONTHS_MAX + 6):
        answer_for(ledger, clock, 60)
        advance(clock, MONTH_S)
        ledger.heard("mt5")
    ledger.store(ledger.encoded())
    months = read_availability(tmp_path / FILE_NAME)["mt5"]
    assert len(months) == MONTHS_MAX
    assert all(month.measured_s == 60 for month in list(months.values())[:-1])


def test_a_damaged_file_is_set_aside(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    file.write_bytes(b"{")
    assert read_availability(file) == {}
    assert file.with_suffix(".damaged").read_bytes() == b"{"


def test_a_disk_that_fails_keeps_no_client_from_starting(tmp_path: Path) -> None:
    file = tmp_path / FILE_NAME
    file.mkdir()  # as unreadable as a failing disk makes it, also for root
    assert read_availability(file) == {}
    assert file.is_dir(), "what could not be read is not set aside: it may be good"
    file.rmdir()
    file.write_bytes(b"{")
    (file.with_suffix(".damaged") / "in the way").mkdir(parents=True)
    assert read_availability(file) == {}


@pytest.mark.parametrize(("away_s", "verdict"), [(3, Verdict.OK), (30, Verdict.WARNING)])
def test_the_doctor_holds_it_against_the_bar(
    tmp_path: Path, away_s: int, verdict: Verdict
) -> None:
    clock = ManualClock()
    ledger = AvailabilityLedger(tmp_path / FILE_NAME, clock)
    ledger.heard("mt5")
    answer_for(ledger, clock, 6_000)
    ledger.failed("mt5", TerminalState.AWAY)
    advance(clock, away_s)
    ledger.store(ledger.encoded())
    [finding] = availability_findings(tmp_path, clock)
    assert finding.verdict is verdict
    assert "wanted 99.9 %" in finding.found

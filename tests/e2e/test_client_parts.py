"""The parts of an installed client: settings from its organisation, alerts, news; live, to the page."""

import http.client
import json
import os
import time
from typing import Any

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(800)]
OWNER, STRANGER = "demo/owner", "other/owner"
THRESHOLDS = "market_monitor.thresholds"
BY_ITSELF_S = 300.0
"""How often a client asks for its settings when nobody tells it that there are new ones."""
PATIENCE_S = 90.0
"""A question that was refused, for the many others of the tests beside it, waits up to 30 s."""
CALENDAR = """time,title,currency,importance,forecast
2026-11-27T13:30:00Z,Non-farm payrolls,USD,high,180K
2026-11-27T15:00:00Z,Consumer sentiment,USD,low,
"""


def settings(platform: Platform, *command: str) -> Any:
    return platform.cli_json("device", "settings", *command, "--tenant", "demo")


def alerts(platform: Platform, person: str = OWNER) -> list[Any]:
    return platform.get("/api/v1/alerts?symbol=EURUSD", person=person)["items"]


def test_settings_act_on_a_running_client_and_alerts_come_back(platform: Platform) -> None:
    wait_until(
        lambda: [one for one in settings(platform, "list")["devices"] if one["is_used"]],
        what="the client's first configuration",
        timeout_s=PATIENCE_S,
    )
    began = time.monotonic()
    settings(platform, "set", THRESHOLDS, "EURUSD spread>0.5")

    def raised() -> Any:
        return [one for one in alerts(platform) if one["cleared_at"] is None]

    [alert] = wait_until(raised, what="an alert about the spread", timeout_s=PATIENCE_S)
    assert time.monotonic() - began < BY_ITSELF_S / 2, "it was told"
    assert (alert["rule"], alert["what"]) == ("EURUSD spread>0.5", "spread")
    assert alerts(platform, STRANGER) == []
    assert platform.cli("alerts", "--for", OWNER).returncode == 1
    settings(platform, "unset", THRESHOLDS)
    wait_until(lambda: not raised(), what="the end of the alert")
    [device] = wait_until(
        lambda: [one for one in settings(platform, "list")["devices"] if one["is_used"]],
        what="the client saying that it uses what is signed",
        timeout_s=PATIENCE_S,
    )
    assert (device["version"] == device["used_version"], device["problem"]) == (True, "")
    wrong = platform.cli(
        "device", "settings", "set", "connector.backfill_s", "9", "--tenant", "demo"
    )
    assert (wrong.returncode, "DEVICE_SETTING_REFUSED" in wrong.stderr) == (1, True)


def test_a_calendar_put_beside_the_client_is_stored_once(platform: Platform) -> None:
    folder = platform.home / "clients" / "demo" / "sources"
    folder.mkdir(exist_ok=True)
    file = folder / "economic_calendar.csv"
    file.write_text(CALENDAR)
    settings(platform, "set", "data_collector.interval_s", "1")

    def stored(person: str = OWNER) -> list[str]:
        page = platform.get("/api/v1/news?kind=economic_calendar", person=person)
        return [each["title"] for each in page["items"]]

    wait_until(lambda: len(stored()) == 2, what="the calendar's two entries", timeout_s=PATIENCE_S)
    file.write_text(CALENDAR + "2026-11-28T10:00:00Z,Later,EUR,medium,\n")
    os.utime(file)
    wait_until(lambda: "Later" in stored(), what="the entry that was added")
    assert sorted(stored()) == ["Consumer sentiment", "Later", "Non-farm payrolls"]
    assert stored(STRANGER) == []
    assert "Non-farm payrolls" in platform.cli("news", "--currency", "USD", "--for", OWNER).stdout
    settings(platform, "unset", "data_collector.interval_s")


def test_each_part_answers_for_itself_on_loopback(platform: Platform) -> None:
    run = json.loads((platform.home / "clients" / "demo" / "run.json").read_text())
    assert sorted(run["parts"]) == ["config-manager", "data-collector", "market-monitor"]

    def report(port: int) -> Any:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("GET", "/health")
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    for name, port in run["parts"].items():
        assert report(port)["service"] == name
        wait_until(lambda port=port: report(port)["state"] == "HEALTHY", what=f"{name} to work")

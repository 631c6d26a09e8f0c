"""From a simulated terminal to the API: the line that everything later stands on."""

import json
from typing import Any

import pytest
from harness.platform import ORDER, Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
HOPS = 7
SYMBOLS = {"EURUSD", "GBPUSD", "USDJPY", "XAUUSD"}


def live_quotes(platform: Platform) -> dict[str, Any]:
    quotes = platform.get("/api/v1/quotes")["items"]
    return {quote["symbol"]: quote for quote in quotes}


def test_status_says_ready_and_everything_is_healthy(platform: Platform) -> None:
    named = {"data-bridge", "database-service", "trading-engine", "api-gateway"}
    assert named <= set(platform.status()["services"])

    def healthy() -> bool:
        now = platform.status()
        parts = (*now["services"].values(), *now["engines"].values())
        return now["ready"] and {part["state"] for part in parts} == {"HEALTHY"}

    # What other tests did to the same platform may be told for a minute.
    wait_until(healthy, what="everything being healthy", timeout_s=120)


def test_quotes_of_all_four_symbols_move(platform: Platform) -> None:
    first = wait_until(
        lambda: quotes if set(quotes := live_quotes(platform)) >= SYMBOLS else None,
        what="quotes of four symbols",
    )

    def moved() -> bool:
        now = live_quotes(platform)
        return all(now[symbol]["time"] > first[symbol]["time"] for symbol in SYMBOLS)

    wait_until(moved, what="every symbol moving")
    for quote in live_quotes(platform).values():
        assert isinstance(quote["bid"], str)
        assert float(quote["bid"]) <= float(quote["ask"])


def test_ticks_become_history_without_holes_or_doubles(platform: Platform) -> None:
    def enough() -> list[dict[str, Any]] | None:
        page = platform.get("/api/v1/ticks?symbol=EURUSD&limit=1000")
        return page["items"] if len(page["items"]) >= 20 else None

    ticks = wait_until(enough, what="twenty ticks in the history")
    sequences = [tick["sequence"] for tick in ticks]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_another_tenant_sees_nothing_of_it(platform: Platform) -> None:
    assert platform.get("/api/v1/quotes", person="other/owner")["items"] == []
    assert platform.get("/api/v1/feeds", person="other/owner")["items"] == []
    assert platform.get("/api/v1/accounts", person="other/owner")["items"] == []
    foreign = platform.request("GET", "/api/v1/ticks?symbol=EURUSD", person="other/owner")
    unknown = platform.request("GET", "/api/v1/ticks?symbol=NOSUCH", person="other/owner")
    assert foreign[0] == unknown[0]
    assert "items" not in foreign[1]


def test_an_order_is_refused_with_a_reason(platform: Platform) -> None:
    status, answer = platform.request("POST", "/api/v1/orders", body=ORDER)
    assert status == 409
    assert answer["error"]["code"] == "TRADING_NOT_AVAILABLE"
    assert answer["error"]["remedy"]
    assert platform.get("/api/v1/risk")["trading"] == "HALTED"


def test_the_demo_account_is_there_and_halted(platform: Platform) -> None:
    (account,) = platform.get("/api/v1/accounts")["items"]
    assert account["simulated"] is True
    assert account["margin_mode"] == "hedging"
    assert account["trading"] == "HALTED"


def test_one_chain_shows_every_hop(platform: Platform) -> None:
    def measured() -> bool:
        answer = platform.cli("chains", "show", "market-data", "--json")
        hops = {hop["name"]: hop for hop in json.loads(answer.stdout)["hops"]}
        seen = {name for name, hop in hops.items() if hop["count"] > 0}
        return len(hops) == HOPS and set(hops) - seen <= {"bridge-subscriber"}

    wait_until(measured, what="every hop being measured")


def test_without_a_token_nothing_is_told(platform: Platform) -> None:
    for path in ("/api/v1/quotes", "/api/v1/ticks?symbol=EURUSD", "/api/v1/risk", "/metrics"):
        status, _ = platform.request("GET", path, person=None)
        assert status in {401, 404}, path
    status, _ = platform.request("GET", "/internal/v1/admin/tenants")
    assert status == 404


def test_a_token_of_a_viewer_cannot_trade_or_kill(platform: Platform) -> None:
    for path in ("/api/v1/orders", "/api/v1/kill"):
        status, _ = platform.request("POST", path, person="demo/viewer", body={})
        assert status == 403, path

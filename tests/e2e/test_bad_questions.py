"""Questions about ticks and bars that nobody should ask: each is refused by name, none harms."""

from typing import Any, Final
from urllib.parse import urlencode

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
WHERE: Final = ("/api/v1/ticks", "/api/v1/bars")
REFUSED: Final = (
    ({"symbol": ""}, 422),
    ({"symbol": "NOSUCH"}, 404),
    ({"symbol": "x" * 65}, 422),
    ({"symbol": "EUR\x00USD"}, 400),
    ({"symbol": "'; DROP TABLE market.ticks; --"}, 404),
    ({"symbol": "{tenant:UUID}"}, 404),
    ({"limit": "0"}, 400),
    ({"limit": "-1"}, 400),
    ({"limit": "10001"}, 400),
    ({"limit": "9" * 400}, 400),
    ({"limit": "0000000019999999"}, 400),
    ({"limit": "NaN"}, 400),
    ({"limit": "1e3"}, 400),
    ({"limit": "\u0661"}, 400),
    ({"from": "2026-01-01T00:00:00"}, 400),
    ({"from": "yesterday"}, 400),
    ({"from": "NaN"}, 400),
    ({"to": "2026-13-01T00:00:00Z"}, 400),
    ({"from": "99999-01-01T00:00:00Z"}, 400),
    ({"cursor": "../../etc/passwd"}, 400),
    ({"cursor": "' OR 1=1 --"}, 400),
    ({"cursor": "x" * 4_000}, 400),
    ({"cursor": "0001-01-01T00:00:00+23:59~00000000-0000-7000-8000-000000000000"}, 400),
)
HARMLESS: Final = (
    {"from": "0001-01-01T00:00:00Z", "to": "9999-12-31T23:59:59Z"},
    {"from": "2500-01-01T00:00:00Z"},
    {"to": "1900-01-01T00:00:00Z"},
    {"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
    {"from": "2026-01-01T00:00:00+14:00"},
)


def ask(platform: Platform, path: str, **changes: Any) -> tuple[int, Any]:
    return platform.request("GET", f"{path}?{urlencode({'symbol': 'EURUSD', **changes})}")


@pytest.mark.parametrize("path", WHERE)
def test_each_is_refused_by_name(platform: Platform, path: str) -> None:
    wait_until(lambda: platform.history("EURUSD"), what="ticks")
    for changes, expected in REFUSED:
        status, answer = ask(platform, path, **changes)
        told = answer["error"]
        assert (status, bool(told["code"]), bool(told["remedy"])) == (expected, True, True), (
            changes
        )
        assert "Traceback" not in str(answer)
        assert "market." not in told["message"] or "DROP" in str(changes)
    status, answer = platform.request("GET", f"{path}?symbol=EURUSD&symbol=GBPUSD")
    assert (status, answer["error"]["code"]) == (400, "REQUEST_INVALID")
    assert platform.history("EURUSD")


@pytest.mark.parametrize("path", WHERE)
def test_an_absurd_span_is_answered_without_harm(platform: Platform, path: str) -> None:
    wait_until(lambda: platform.history("EURUSD"), what="ticks")
    for changes in HARMLESS:
        status, answer = ask(platform, path, limit="5", **changes)
        assert status == 200, (changes, answer)
        assert len(answer["items"]) <= 5


@pytest.mark.parametrize("period", ["", "0s", "7m", "1M", "-1m", "1d' OR 1", "NaN"])
def test_a_period_that_is_not_kept_is_refused(platform: Platform, period: str) -> None:
    status, answer = ask(platform, "/api/v1/bars", period=period)
    assert (status, answer["error"]["code"]) == (400, "REQUEST_INVALID")
    assert "1m" in answer["error"]["message"]

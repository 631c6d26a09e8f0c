"""A raised epoch reaches every service in a moment, measured against the time of a plain look."""

import time
from statistics import median
from threading import Thread

import pytest
from harness.platform import Platform, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
GATEWAY = "/api/v1/auth/me"
OTHERS = ("/api/v1/quotes", "/api/v1/risk", "/api/v1/ticks?symbol=EURUSD")
ROUNDS = 3
LOOKS_MAX = 10
"""A bar in looks at all other services, so that a slow machine moves both sides."""


def is_refused(platform: Platform, path: str, token: str) -> bool:
    headers = {"authorization": f"Bearer {token}"}
    return platform.request("GET", path, person=None, headers=headers)[0] == 401


def look_s(platform: Platform, token: str) -> float:
    began = time.perf_counter()
    refused = [is_refused(platform, path, token) for path in OTHERS]
    assert refused == [False] * len(OTHERS)
    return time.perf_counter() - began


def test_a_raised_epoch_reaches_every_service_within_a_few_looks(platform: Platform) -> None:
    made = platform.cli("user", "create", "leaver", "--tenant", "demo", "--role", "trader")
    assert made.returncode == 0, made.stderr
    ratios = []
    for _ in range(ROUNDS):
        token = platform.cli_json("token", "--for", "demo/leaver")["token"]
        floor_s = median(look_s(platform, token) for _ in range(5))
        reset = Thread(target=platform.cli, args=("user", "reset-password", "demo/leaver"))
        reset.start()
        wait_until(lambda token=token: is_refused(platform, GATEWAY, token), what="the source")
        began = time.perf_counter()
        for path in OTHERS:
            wait_until(lambda token=token, path=path: is_refused(platform, path, token), what=path)
        ratios.append((time.perf_counter() - began) / floor_s)
        reset.join()
    assert min(ratios) <= LOOKS_MAX, ratios

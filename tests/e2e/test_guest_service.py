"""A service that nobody knew when the platform started: admitted, registered, reachable, gone."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import pytest
from harness.platform import Platform, clean_environment, die_with_the_test_run, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(360)]
PROGRAM: Final = Path(__file__).with_name("guest_service.py")
HELLO: Final = "/api/v1/greeter/hello"
STOP_S: Final = 20


@contextmanager
def running_guest(bundle: str, said: Path) -> Iterator["subprocess.Popen[bytes]"]:
    environment = {**clean_environment(), "AITRADING_BUNDLE": bundle}
    with said.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            preexec_fn=die_with_the_test_run,  # noqa: PLW1509 - one system call runs in it
        )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(STOP_S)


def links(platform: Platform) -> set[str]:
    listed = platform.cli_json("connections", "list", "--tenant", "demo")
    return {one["id"] for one in listed if one["kind"] == "link"}


def audited(platform: Platform) -> list[str]:
    """What the platform's own trail tells of the service, the newest first."""
    listed = platform.cli_json("audit", "security", "--limit", "500")["items"]
    return [each["action"] for each in listed if each["subject"] == "service:greeter"]


def code(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]["code"] if answer[0] >= 400 else ""


def test_a_service_comes_and_goes_without_a_restart(platform: Platform, tmp_path: Path) -> None:
    edge, before = platform.pid_of("envoy"), wait_until(lambda: links(platform), what="a link")
    assert code(platform.request("GET", HELLO)) == (404, "EDGE_NO_ROUTE")
    admitted = platform.cli_json("service", "admit", "greeter")
    assert Path(admitted["bundle"]).stat().st_mode & 0o777 == 0o600
    try:
        with running_guest(admitted["bundle"], tmp_path / "said.txt"):
            wait_until(lambda: platform.get(HELLO)["text"] == "hello", what="the new service")
            assert code(platform.request("GET", HELLO, person=None)) == (401, "EDGE_TOKEN_REFUSED")
            # It also asked for the orders of everybody; they are still the engine's.
            assert platform.request("GET", "/api/v1/orders")[0] == 200
        gone = (503, "EDGE_UPSTREAM_UNAVAILABLE")
        wait_until(lambda: code(platform.request("GET", HELLO)) == gone, what="a clear refusal")
        with running_guest(admitted["bundle"], tmp_path / "said.txt") as process:
            wait_until(lambda: platform.get(HELLO)["text"] == "hello", what="the service again")
            dismissed = platform.cli("service", "dismiss", "greeter")
            assert dismissed.returncode == 0, dismissed.stderr
            # It runs on, and nobody's token gets to it.
            closed = (404, "EDGE_NO_ROUTE")
            wait_until(
                lambda: code(platform.request("GET", HELLO)) == closed, what="a closed path"
            )
            assert process.poll() is None
    finally:
        platform.cli("service", "dismiss", "greeter")
    assert platform.cli_json("service", "list") == []
    wait_until(lambda: audited(platform) == ["services.dismissed", "services.admitted"], what="it")
    assert not Path(admitted["bundle"]).exists()
    assert links(platform) >= before
    assert platform.pid_of("envoy") == edge


@pytest.mark.parametrize("name", ["api-gateway", "admin", "Greeter", "a" * 41, "x-ws", "../x"])
def test_a_name_that_is_taken_or_none_is_not_admitted(platform: Platform, name: str) -> None:
    refused = platform.cli("service", "admit", name)
    assert refused.returncode == 1
    assert "SERVICE_NOT_ADMISSIBLE" in refused.stderr

"""`aitrading up --demo` as a child of the test run, on free ports, in a home of its own."""

import ctypes
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aitrading.core.security.own_authority import ask_for_own_certificate
from aitrading.server.supervisor.ports import free_port
from aitrading.server.testing.engines import release_shared_memory

BIN = Path(sys.executable).parent
WAIT_S = 120.0
STOP_TIMEOUT_S = 90.0
COMMAND_TIMEOUT_S = 180.0
POLL_S = 0.05
TOKEN_USED_S = 240.0
"""A token ends after 15 minutes; a shared platform may live longer."""
PORTS = ("data_bridge", "api_gateway", "trading_engine", "database_service", "nats", "client")
FREE_PORTS = tuple(
    argument for name in (f"ports.{port}" for port in PORTS) for argument in ("--set", f"{name}=0")
)
SETTINGS_OF_TESTS = {
    "AITRADING_CONNECTOR_POLL_INTERVAL_MS": "50",
    "AITRADING_LIMITS_USER_PER_MINUTE": "100000",
    "AITRADING_LIMITS_IDENTITY_PER_MINUTE": "100000",
    "AITRADING_LIMITS_TENANT_PER_MINUTE": "1000000",
    "AITRADING_LIMITS_CONNECTIONS_PER_MINUTE": "10000",
    "AITRADING_GATEWAY_REQUESTS_BURST": "100000",
    "AITRADING_GATEWAY_REQUESTS_PER_MINUTE": "1000000",
}
ORDER = {"symbol": "EURUSD", "side": "buy", "volume": "0.10"}
REFUSED_FOR_NOW = frozenset({429, 503})
NOW_S = 60.0
_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def die_with_the_test_run() -> None:
    """In the child: a killed test run leaves no platform behind."""
    _libc.prctl(_PDEATHSIG, signal.SIGTERM)


def clean_environment() -> dict[str, str]:
    """Ours, without settings of a person's own installation.

    Demo clients poll less often, and a test may ask more than a person does.
    """
    own = {name: value for name, value in os.environ.items() if not name.startswith("AITRADING_")}
    return {**own, **SETTINGS_OF_TESTS}


def ports_of(home: Path) -> tuple[str, ...]:
    """Free ports; the edge keeps its own over restarts: clients were enrolled at that address."""
    place = home.parent / "edge-port"
    if not place.exists():
        place.write_text(str(free_port()), encoding="ascii")
    return (*FREE_PORTS, "--set", f"gateway.port={place.read_text(encoding='ascii')}")


def run_cli(
    *arguments: str, home: Path, timeout_s: float = COMMAND_TIMEOUT_S
) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [str(BIN / "aitrading"), *arguments, "--home", str(home)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
        env=clean_environment(),
    )


def wait_until(probe: Callable[[], Any], *, what: str, timeout_s: float = WAIT_S) -> Any:
    """Poll until the probe gives something true; exceptions count as not yet."""
    deadline = time.monotonic() + timeout_s
    last: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if value := probe():
                return value
        except Exception as exc:  # noqa: BLE001 - a probe may fail in any way until it succeeds
            last = exc
        time.sleep(POLL_S)
    raise AssertionError(f"{what} did not happen within {timeout_s} s") from last


T = TypeVar("T")


def until_taken(ask: Callable[[], T], is_refused: Callable[[T], bool]) -> T:
    """Ask again while the platform says that it cannot now, as every client does; what is not
    answered, or refused for good, is not asked again."""
    deadline = time.monotonic() + NOW_S
    while is_refused(answer := ask()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return answer


def is_refused_for_now(done: "subprocess.CompletedProcess[str]") -> bool:
    """Whether a command with `--json` ended with an error that may be over soon."""
    try:
        return bool(json.loads(done.stderr)["error"]["category"] == "retryable")
    except (ValueError, LookupError):
        return False


@dataclass
class Platform:
    """A running platform and the ways a person has to it."""

    home: Path
    process: "subprocess.Popen[str]"
    report: dict[str, Any]
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict)

    @cached_property
    def trust(self) -> ssl.SSLContext:
        """Knows the installation by its own authority, as the platform's programs do."""
        context = ssl.create_default_context(cafile=self.home / "trust" / "edge-ca.pem")
        return ask_for_own_certificate(context)

    @property
    def url(self) -> str:
        return str(self.report["state"]["url"])

    @property
    def login_link(self) -> str:
        return f"{self.url}/login#link={self.report['demo']['link_code']}"

    def password(self, user: str, tenant: str = "demo") -> str:
        """As the first start told it."""
        for login in self.report["demo"]["logins"]:
            if (login["tenant"], login["user"]) == (tenant, user):
                return str(login["password"])
        raise LookupError(user)

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return run_cli(*arguments, home=self.home)

    def cli_json(self, *arguments: str) -> Any:
        done = self.cli(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def status(self) -> dict[str, Any]:
        """Also while something does not work."""
        done = self.cli("status", "--json")
        assert done.returncode in {0, 1}, done.stderr
        return dict(json.loads(done.stdout))

    def told(self) -> dict[str, Any]:
        """What the supervisor wrote last; answers even while the supervisor cannot."""
        return dict(json.loads((self.home / "run" / "state.json").read_text()))

    def pid_of(self, name: str) -> int:
        state = self.told()
        for kind in ("services", "engines", "clients"):
            if name in state[kind]:
                return int(state[kind][name]["pid"])
        raise LookupError(name)

    def token(self, person: str = "demo/trader") -> str:
        token, asked_s = self._tokens.get(person, ("", -TOKEN_USED_S))
        if time.monotonic() - asked_s >= TOKEN_USED_S:
            done = until_taken(
                lambda: self.cli("token", "--for", person, "--json"), is_refused_for_now
            )
            assert done.returncode == 0, done.stderr
            token = json.loads(done.stdout)["token"]
            self._tokens[person] = token, time.monotonic()
        return token

    def renew_tokens(self) -> None:
        """Before something is hurt: while that lasts nobody may be able to get a new one."""
        for person, (_, asked_s) in list(self._tokens.items()):
            if time.monotonic() - asked_s >= TOKEN_USED_S / 2:
                del self._tokens[person]
                self.token(person)

    def forget_tokens(self) -> None:
        """Ask for new ones: sessions were ended."""
        self._tokens.clear()

    def request(
        self,
        method: str,
        path: str,
        *,
        person: str | None = "demo/trader",
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any]:
        """One request through the edge; gives the status and the decoded JSON."""
        status, answer, _ = self.exchange(method, path, person=person, body=body, headers=headers)
        return status, answer

    def exchange(
        self,
        method: str,
        path: str,
        *,
        person: str | None = "demo/trader",
        body: Any = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """The same with the answer's headers, by lower-case name."""
        place = urlsplit(self.url)
        connection = http.client.HTTPSConnection(
            place.hostname or "", place.port, timeout=30, context=self.trust
        )
        sent = dict(headers or {})
        if person is not None:
            sent["authorization"] = f"Bearer {self.token(person)}"
        if body is not None:
            sent["content-type"] = "application/json"
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, path, body=content, headers=sent)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        told = {name.lower(): value for name, value in answer.getheaders()}
        try:
            return answer.status, json.loads(raw) if raw else None, told
        except ValueError:
            return answer.status, raw.decode(errors="replace"), told

    def get(self, path: str, *, person: str | None = "demo/trader") -> Any:
        """GET that must succeed."""
        status, answer = self.request("GET", path, person=person)
        assert status == http.HTTPStatus.OK, (path, status, answer)
        return answer

    def history(self, symbol: str) -> list[int]:
        """Sequences of the demo's stored ticks of a symbol, page after page."""
        found: list[int] = []
        cursor = ""
        while True:
            query = f"symbol={symbol}&limit=5000" + (f"&cursor={cursor}" if cursor else "")
            page = self.get(f"/api/v1/ticks?{query}")
            found += [tick["sequence"] for tick in page["items"]]
            cursor = page.get("next_cursor") or ""
            if not cursor:
                return found

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Kill one process of the platform and give the pid it had."""
        pid = self.pid_of(name)
        os.kill(pid, number)
        return pid

    def wait_back(self, name: str, old_pid: int, *, timeout_s: float = WAIT_S) -> None:
        """Wait until a new process has taken over and everything is ready again."""

        def back() -> bool:
            return bool(self.told()["ready"]) and self.pid_of(name) != old_pid

        wait_until(back, what=f"{name} coming back", timeout_s=timeout_s)

    def stop(self) -> int:
        """Ctrl-C, as a person does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_TIMEOUT_S)


@contextmanager
def running_platform(
    home: Path, *arguments: str, demo: bool = True, servers: Mapping[str, str] | None = None
) -> Iterator[Platform]:
    """Start, hand over when ready, stop; what it said is in `home`/../said.txt.

    `servers` are URLs by their variables, in place of embedded engines.
    """
    home.parent.mkdir(parents=True, exist_ok=True)
    said = home.parent / "said.txt"
    with said.open("a", encoding="utf-8") as errors:
        process = subprocess.Popen(
            [
                *(str(BIN / "aitrading"), "up", "--json", "--home", str(home)),
                *(["--demo"] if demo else []),
                *ports_of(home),
                *arguments,
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**clean_environment(), **(servers or {})},
            preexec_fn=die_with_the_test_run,  # noqa: PLW1509 - one system call runs in it
        )
    try:
        yield Platform(home=home, process=process, report=_read_report(process, said))
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        assert process.stdout is not None
        process.stdout.close()
        release_shared_memory(home)


def _read_report(process: "subprocess.Popen[str]", said: Path) -> dict[str, Any]:
    """The JSON that `up --json` prints once it is ready; an early end tells why."""
    assert process.stdout is not None
    text = ""
    for line in process.stdout:
        text += line
        if line.rstrip() == "}":
            return dict(json.loads(text))
    raise AssertionError(f"up ended with {process.wait()}:\n{said.read_text()[-4000:]}")

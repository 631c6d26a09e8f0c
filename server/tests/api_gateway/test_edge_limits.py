"""The edge under abuse: slow, greedy, many, foreign; meanwhile others are served."""

import base64
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from msgspec import structs

from aitrading.core.kit.errors import AitradingError
from aitrading.server.api_gateway.edge.config import RateLimit
from aitrading.server.policy import edge_policy

pytestmark = pytest.mark.integration
ORIGIN = "https://app.example"
PREFLIGHT = {"access-control-request-method": "POST"}
DEVICE_URI = "spiffe://aitrading/tenant/t-1/device/d-1"
CAP = 30
BURST = 60


@pytest.fixture(scope="module")
def tight(run_edge: Any, serving: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The product's edge with limits that a test can reach."""
    limits = structs.replace(
        edge_policy().limits,
        headers_s=1,
        body_s=2,
        handshake_s=2,
        idle_connection_s=2,
        max_public_connections=CAP,
    )
    services = {"gateway": serving, "bridge": serving}
    changes = {
        "limits": limits,
        "cors_origins": (ORIGIN,),
        "limit_per_address": RateLimit(burst=BURST, per_minute=1_200),
    }
    with run_edge(tmp_path_factory.mktemp("tight"), services, **changes) as edge:
        yield edge


def open_head(edge: Any, path: str = "/", method: str = "GET") -> ssl.SSLSocket:
    """A connection whose request has begun and does not go on."""
    tls: ssl.SSLSocket = edge.connect("localhost", edge.context())
    tls.sendall(f"{method} {path} HTTP/1.1\r\nhost: localhost\r\nx-slow: ".encode())
    return tls


def rest(tls: ssl.SSLSocket) -> bytes:
    answer = b""
    with suppress(OSError):
        while chunk := tls.recv(4096):
            answer += chunk
    return answer


def test_slow_senders_are_let_go_while_a_good_client_is_served(tight: Any) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(open_head(tight)) for _ in range(CAP - 4)]
        for tls in slow:
            tls.sendall(b"a")
        assert all(tight.request("/").status == 200 for _ in range(3))
        answers = [rest(tls) for tls in slow]
    assert all(b" 408 " in answer or not answer for answer in answers)
    assert any(b"EDGE_REQUEST_TOO_SLOW" in answer for answer in answers)


def test_a_body_that_trickles_is_cut_off_and_reaches_no_service(tight: Any) -> None:
    head = "POST /login HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n"
    began = time.monotonic()
    with tight.connect("localhost", tight.context()) as tls:
        tls.settimeout(0.2)
        tls.sendall(head.encode())
        answer = b""
        while b"\r\n\r\n" not in answer and time.monotonic() - began < 15:
            with suppress(OSError):
                tls.sendall(b"x")
                answer += tls.recv(4096)
    assert b" 408 " in answer
    assert time.monotonic() - began < 10


def test_people_cannot_crowd_out_devices(tight: Any, until: Any) -> None:
    """Whoever holds every public connection, without a handshake even, leaves the link open.

    Those that name the link in their greeting are told from devices by their handshake only.
    """
    device = tight.pki.issue("device", x509.UniformResourceIdentifier(DEVICE_URI))
    with ExitStack() as stack:
        with suppress(OSError):
            for _ in range(CAP * 2):
                stack.enter_context(open_head(tight))
        assert tight.request("/link", sni="link.localhost", device=device).status == 200
    assert until(lambda: tight.request("/").status == 200)


def test_a_connection_that_asks_nothing_gives_its_place_back(tight: Any, until: Any) -> None:
    with ExitStack() as stack:
        silent: list[ssl.SSLSocket] = []
        with suppress(OSError):
            while len(silent) < 2 * CAP:
                silent.append(stack.enter_context(tight.connect("localhost", tight.context())))
        assert len(silent) >= CAP / 2
        assert until(lambda: tight.request("/").status == 200)
        assert {rest(tls) for tls in silent} == {b""}


def test_a_body_beyond_what_its_path_takes_is_refused_at_the_edge(edge: Any) -> None:
    headers = edge.bearer()
    fits = edge.request("/api/v1/orders", method="POST", headers=headers, body=b"x" * 65_536)
    too_large = edge.request("/api/v1/orders", method="POST", headers=headers, body=b"x" * 65_537)
    assert fits.status == 200
    assert (too_large.status, too_large.json["error"]["code"]) == (413, "EDGE_BODY_TOO_LARGE")
    (record,) = edge.record_of(too_large.headers["x-request-id"])
    assert record["fields"]["verdict"] == "denied by size"


def test_a_stream_outlives_the_time_that_a_request_has(tight: Any) -> None:
    key = base64.b64encode(os.urandom(16)).decode()
    lines = ["GET /api/v1/stream HTTP/1.1", "host: localhost", "connection: Upgrade"]
    lines += ["upgrade: websocket", "sec-websocket-version: 13", f"sec-websocket-key: {key}"]
    lines += [f"{name}: {value}" for name, value in tight.bearer().items()]
    with tight.connect("localhost", tight.context()) as tls:
        tls.sendall("\r\n".join([*lines, "", ""]).encode())
        assert b" 101 " in tls.recv(4096)
        tls.settimeout(tight.config.limits.body_s * 1.5)
        with pytest.raises(TimeoutError):
            tls.recv(1)
        tls.settimeout(10)
        tls.sendall(bytes([0x81, 0x84]) + bytes(4) + b"tick")
        assert tls.recv(64)[2:] == b"tick"


def test_one_address_is_limited_and_told_when_to_come_back(tight: Any, until: Any) -> None:
    one = "GET / HTTP/1.1\r\nhost: localhost\r\n"
    with tight.connect("localhost", tight.context()) as tls:
        tls.sendall(f"{one}\r\n".encode() * BURST * 2 + f"{one}connection: close\r\n\r\n".encode())
        answers = rest(tls)
    assert 0 < answers.count(b" 429 ") <= BURST + 1
    assert answers.count(b" 200 ") >= BURST / 2
    assert b"EDGE_RATE_LIMITED" in answers
    assert b"retry-after: 1\r\n" in answers
    assert until(lambda: tight.request("/").status == 200)


def preflight(edge: Any, origin: str, path: str = "/api/v1/quotes") -> Any:
    return edge.request(path, method="OPTIONS", headers=PREFLIGHT | {"origin": origin})


def test_a_named_site_may_ask_with_a_token_and_never_with_our_cookie(tight: Any) -> None:
    answer = preflight(tight, ORIGIN)
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "authorization" in answer.headers["access-control-allow-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    asked = tight.request("/api/v1/quotes", headers=tight.bearer() | {"origin": ORIGIN})
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    refused = tight.request("/api/v1/quotes", headers={"origin": ORIGIN})
    assert refused.status == 401


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "https://app.example.evil.example", "http://app.example", "null"],
)
def test_any_other_site_is_refused_at_the_edge(tight: Any, edge: Any, origin: str) -> None:
    for one in (tight, edge):
        answer = preflight(one, origin)
        assert "access-control-allow-origin" not in answer.headers
        asked = one.request("/api/v1/quotes", headers=one.bearer() | {"origin": origin})
        assert "access-control-allow-origin" not in asked.headers
    (record,) = edge.record_of(answer.headers["x-request-id"])
    assert record["fields"]["verdict"] == "answered at the edge"


@pytest.mark.parametrize(
    "origin", ["*", "null", "https://*.example", "http://app.example", "https://app.example/"]
)
def test_an_origin_that_opens_more_than_one_site_is_no_setting(edge: Any, origin: str) -> None:
    with pytest.raises(AitradingError, match="cors_origins"):
        replace(edge.config, cors_origins=(origin,))


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        "00-0-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"00-{'a' * 31}-b7ad6b7169203331-011",
        f"00-{'a' * 33}-b7ad6b716920333-01",
        f"00-{'A' * 32}-b7ad6b7169203331-01",
        f"ff-{'a' * 32}-b7ad6b7169203331-01",
        f"00-{'a' * 32}-b7ad6b7169203331-01\x80",
        f"00-{'a' * 32}-b7ad6b7169203331-01,00-{'b' * 32}-b7ad6b7169203331-01",
    ],
)
def test_a_malformed_trace_is_replaced(edge: Any, given: str) -> None:
    seen = edge.request("/", headers={"traceparent": given}).json["headers"]["traceparent"]
    version, trace_id, span_id, _ = seen.split("-")
    assert (version, len(trace_id), len(span_id)) == ("00", 32, 16)
    assert trace_id not in given.lower()


@pytest.mark.parametrize(
    ("path", "headers", "status", "verdict"),
    [
        ("/", {}, 200, "allowed"),
        ("/api/v1/quotes", {}, 401, "denied by token"),
        ("/nothing", {}, 404, "denied by route"),
        ("/static%2f..", {}, 400, "denied by form"),
        ("/", {"host": "elsewhere"}, 421, "denied by host"),
        ("/", {f"x-{number}": "x" for number in range(110)}, 431, "denied by size"),
        ("/", {"x-answer": "403"}, 403, "allowed"),
    ],
)
def test_every_request_leaves_one_record_with_one_verdict(
    edge: Any, path: str, headers: dict[str, str], status: int, verdict: str
) -> None:
    host = headers.get("host")
    sent = {name: value for name, value in headers.items() if name != "host"}
    agent = f"agent-{os.urandom(8).hex()}"
    answer = edge.request(path, headers={"user-agent": agent} | sent, host=host)
    assert answer.status == status
    assert status < 400 or "error" in answer.json or "path" in answer.json
    (record,) = edge.record_of(agent if status != 431 else '"status":431')
    assert record["fields"]["verdict"] == verdict
    assert record["fields"]["status"] == status


def test_who_asked_is_taken_from_the_verified_token_alone(edge: Any) -> None:
    spoofed = {"x-tenant": "other", "x-user": "root", "tid": "other"}
    known = edge.request("/api/v1/quotes", headers=edge.bearer(sub="u-7", tid="t-7") | spoofed)
    (record,) = edge.record_of(known.headers["x-request-id"])
    assert (record["fields"]["tenant"], record["fields"]["user"]) == ("t-7", "u-7")
    forged = type(edge.tokens)().make(sub="u-7", tid="t-7")
    refused = edge.request("/api/v1/quotes", headers={"authorization": f"Bearer {forged}"})
    (record,) = edge.record_of(refused.headers["x-request-id"])
    assert (record["fields"]["tenant"], record["fields"]["user"]) == (None, None)


def test_an_unreachable_service_is_a_failure_and_no_refusal(edge: Any) -> None:
    answer = edge.request("/api/v1/absent", headers=edge.bearer())
    (record,) = edge.record_of(answer.headers["x-request-id"])
    assert record["fields"]["verdict"] == "failed upstream"

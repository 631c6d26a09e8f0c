"""The edge as clients meet it: a real Envoy, real TLS, real requests."""

import base64
import json
import os
import re
import ssl
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from aitrading.server.api_gateway.edge.xds import write_resources

pytestmark = pytest.mark.integration
DEVICE_URI = "spiffe://aitrading/tenant/t-1/device/d-1"


@pytest.fixture(scope="module")
def device(edge: Any) -> tuple[Path, Path]:
    return edge.pki.issue("device", x509.UniformResourceIdentifier(DEVICE_URI))


TICK = bytes([0x81, 0x84]) + bytes(4) + b"tick"
"""A masked text frame."""


def upgrade_headers() -> dict[str, str]:
    return {
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
    }


def open_stream(edge: Any, path: str, sni: str, headers: dict[str, str]) -> ssl.SSLSocket:
    """An upgraded socket on which nothing was sent yet."""
    lines = [f"GET {path} HTTP/1.1", f"host: {sni}"]
    lines += [f"{key}: {value}" for key, value in (headers | upgrade_headers()).items()]
    tls: ssl.SSLSocket = edge.connect(sni, edge.context())
    tls.sendall("\r\n".join([*lines, "", ""]).encode())
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += tls.recv(4096)
    assert answer.split()[1] == b"101"
    return tls


def websocket_echo(
    edge: Any, path: str, sni: str, headers: dict[str, str], device: tuple[Path, Path] | None
) -> tuple[int, bytes]:
    """Upgrade, send one masked text frame, return the status and the frame that came back."""
    lines = [f"GET {path} HTTP/1.1", f"host: {sni}"]
    lines += [f"{key}: {value}" for key, value in (headers | upgrade_headers()).items()]
    with edge.connect(sni, edge.context(device)) as tls:
        tls.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += tls.recv(4096)
        status = int(answer.split()[1])
        if status != 101:
            return status, b""
        tls.sendall(TICK)
        frame = answer.partition(b"\r\n\r\n")[2]
        while len(frame) < 6:
            frame += tls.recv(4096)
        return status, frame[2:]


def test_only_tls_13_is_spoken(edge: Any) -> None:
    old = edge.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        edge.connect("localhost", old)
    with edge.connect("localhost", edge.context()) as tls:
        assert tls.version() == "TLSv1.3"


def test_the_page_needs_no_token_and_carries_the_security_headers(edge: Any) -> None:
    answer = edge.request("/")
    assert answer.status == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["server"] == "aitrading"
    assert "x-powered-by" not in answer.headers
    assert "strict-transport-security" not in answer.headers
    assert "x-request-id" in answer.headers


def test_a_public_name_insists_on_tls_and_a_loopback_name_does_not(edge: Any) -> None:
    told = edge.request("/", host="trading.example").headers["strict-transport-security"]
    assert told == "max-age=31536000; includeSubDomains"
    port = edge.config.port
    assert "strict-transport-security" not in edge.request("/", host=f"localhost:{port}").headers


def test_an_unknown_host_is_misdirected(edge: Any) -> None:
    answer = edge.request("/", host="evil.example")
    assert answer.status == 421
    assert answer.json["error"]["code"] == "EDGE_UNKNOWN_HOST"


def test_without_a_token_the_answer_has_the_one_error_shape(edge: Any) -> None:
    answer = edge.request("/api/v1/quotes")
    assert answer.status == 401
    error = answer.json["error"]
    assert error["code"] == "EDGE_TOKEN_REFUSED"
    assert error["category"] == "denied"
    assert error["fields"] == {}
    assert error["remedy"]
    assert error["request_id"] == answer.headers["x-request-id"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_every_refusal_has_every_member_of_an_error_as_text(edge: Any) -> None:
    """Also where the edge refuses before it gave the request an id."""
    early = edge.request("/api/v1/errors/a%5Cb")
    for answer in (early, edge.request("/api/v1/quotes"), edge.request("/", host="evil.example")):
        error = answer.json["error"]
        names = {"code", "message", "category", "remedy", "request_id", "trace_id"}
        assert set(error) == names | {"fields"}
        assert all(isinstance(error[name], str) for name in names)
    assert early.json["error"]["code"] == "EDGE_REQUEST_MALFORMED"


def test_what_the_edge_answers_itself_names_the_trace_that_its_record_has(edge: Any) -> None:
    bearer = edge.bearer()
    asked = {
        404: {"path": "/nowhere"},
        401: {"path": "/api/v1/quotes"},
        421: {"path": "/", "host": "evil.example"},
        413: {
            "path": "/api/v1/orders",
            "method": "POST",
            "headers": bearer,
            "body": b"x" * 65_537,
        },
        503: {"path": "/api/v1/absent", "headers": bearer},
    }
    for status, request in asked.items():
        for given in ({}, {"traceparent": f"00-{'ab' * 16}-{'cd' * 8}-01"}):
            headers = request.get("headers", {}) | given
            answer = edge.request(**(request | {"headers": headers}))
            assert answer.status == status
            trace_id = answer.json["error"]["trace_id"]
            assert re.fullmatch("[0-9a-f]{32}", trace_id)
            assert not given or trace_id == "ab" * 16
            (record,) = edge.record_of(answer.headers["x-request-id"])
            assert record["trace_id"] == trace_id


def test_a_token_passes_in_header_and_in_cookie(edge: Any) -> None:
    token = edge.tokens.make()
    in_header = edge.request("/api/v1/quotes", headers={"authorization": f"Bearer {token}"})
    in_cookie = edge.request("/api/v1/quotes", headers={"cookie": f"__Host-aitrading={token}"})
    proven = edge.request("/api/v1/quotes", headers={"authorization": f"DPoP {token}"})
    assert (in_header.status, in_cookie.status, proven.status) == (200, 200, 200)
    assert in_header.json["headers"]["authorization"] == f"Bearer {token}"
    assert token in in_cookie.json["headers"]["cookie"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"exp": 1}, 401),
        ({"exp": None}, 401),
        ({"nbf": 4_000_000_000}, 401),
        ({"iss": "somebody"}, 401),
        ({"aud": "another-service"}, 403),
    ],
)
def test_a_token_that_is_not_ours_is_refused(
    edge: Any, changes: dict[str, Any], status: int
) -> None:
    answer = edge.request("/api/v1/quotes", headers=edge.bearer(**changes))
    assert answer.status == status
    assert answer.json["error"]["code"].startswith("EDGE_TOKEN_")


def test_a_token_of_another_key_or_without_a_signature_is_refused(edge: Any) -> None:
    stranger = type(edge.tokens)()
    none = base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=")
    unsigned = ".".join([none, edge.tokens.make().split(".")[1], ""])
    for token in (stranger.make(), unsigned, "x.y.z"):
        answer = edge.request("/api/v1/quotes", headers={"authorization": f"Bearer {token}"})
        assert answer.status == 401


@pytest.mark.parametrize(
    "path",
    [
        "/internal/v1/devices/1",
        "/api/v1/../../internal/v1/devices",
        "/static/../internal/v1",
        "//internal/v1",
        "/api/v10",
        "/nothing",
        "/link",
    ],
)
def test_what_is_not_public_has_no_route(edge: Any, path: str) -> None:
    answer = edge.request(path, headers=edge.bearer())
    assert answer.status == 404
    assert answer.json["error"]["code"] == "EDGE_NO_ROUTE"


def test_an_escaped_slash_is_no_way_around_the_routes(edge: Any) -> None:
    assert edge.request("/static%2f..%2finternal", headers=edge.bearer()).status == 400


def test_a_spoofed_client_certificate_header_is_stripped(edge: Any) -> None:
    spoofed = {"x-forwarded-client-cert": f"URI={DEVICE_URI};Hash=00"}
    seen = edge.request("/", headers=spoofed).json["headers"]
    assert "x-forwarded-client-cert" not in {key.lower() for key in seen}


def test_inner_headers_of_envoy_mean_nothing_from_outside(edge: Any) -> None:
    inner = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-retry-on": "5xx"}
    answer = edge.request("/", headers=inner | {"x-request-id": "chosen-outside"})
    assert answer.status == 200
    assert not [key for key in answer.json["headers"] if key.lower() in inner]
    seen = {key.lower(): value for key, value in answer.json["headers"].items()}
    assert answer.headers["x-request-id"] == seen["x-request-id"] != "chosen-outside"
    assert seen.get("x-envoy-expected-rq-timeout-ms") != "1"


def test_a_device_is_known_by_its_certificate_only(edge: Any, device: tuple[Path, Path]) -> None:
    spoofed = {"x-forwarded-client-cert": "URI=spiffe://aitrading/tenant/x/device/y;Hash=00"}
    answer = edge.request("/link", sni="link.localhost", headers=spoofed, device=device)
    assert answer.status == 200
    identity = {key.lower(): value for key, value in answer.json["headers"].items()}
    parts = dict(part.split("=", 1) for part in identity["x-forwarded-client-cert"].split(";"))
    assert parts["URI"] == DEVICE_URI
    assert len(parts["Hash"]) == 64
    assert "tenant/x" not in identity["x-forwarded-client-cert"]


def test_the_link_name_demands_a_device_certificate(edge: Any, tmp_path: Path) -> None:
    stranger = type(edge.pki)(tmp_path)
    foreign = stranger.issue("foreign", x509.UniformResourceIdentifier(DEVICE_URI))
    service = edge.pki.issue("svc", x509.UniformResourceIdentifier("spiffe://aitrading/service/x"))
    for presented in (None, foreign, service):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            edge.request("/link", sni="link.localhost", device=presented)


def test_devices_reach_the_link_and_nothing_else(edge: Any, device: tuple[Path, Path]) -> None:
    for path in ("/", "/api/v1/quotes", "/link/more", "/internal"):
        answer = edge.request(path, sni="link.localhost", device=device, headers=edge.bearer())
        assert answer.status == 404, path


def test_a_public_connection_cannot_name_the_link_host(edge: Any) -> None:
    assert edge.request("/link", host="link.localhost").status == 421


def test_websockets_pass_for_people_and_devices(edge: Any, device: tuple[Path, Path]) -> None:
    stream = websocket_echo(edge, "/api/v1/stream", "localhost", edge.bearer(), None)
    link = websocket_echo(edge, "/link", "link.localhost", {}, device)
    assert stream == (101, b"tick")
    assert link == (101, b"tick")


def test_streams_that_their_service_ends_close_the_way_for_nobody(edge: Any) -> None:
    """The service of these tests ends each socket, as the bridge does beyond somebody's limit."""

    def ejections() -> int:
        name = "cluster.bridge.outlier_detection.ejections_enforced_total"
        return int(edge.admin(f"/stats?filter={name}").rpartition(f"{name}:")[2].split()[0])

    with ExitStack() as stack:
        open_ones = [
            stack.enter_context(open_stream(edge, "/api/v1/stream", "localhost", edge.bearer()))
            for _ in range(12)
        ]
        for tls in open_ones:
            tls.sendall(TICK)
        for tls in open_ones:
            while tls.recv(4096):
                pass
    assert ejections() == 0
    stream = websocket_echo(edge, "/api/v1/stream", "localhost", edge.bearer(), None)
    assert stream == (101, b"tick")


def test_a_websocket_without_a_token_or_off_its_route_is_refused(edge: Any) -> None:
    assert websocket_echo(edge, "/api/v1/stream", "localhost", {}, None)[0] == 401
    off_route = websocket_echo(edge, "/api/v1/quotes", "localhost", edge.bearer(), None)
    assert off_route[0] in {403, 404}


def test_authentication_is_limited_per_address(edge: Any) -> None:
    """A minute may begin meanwhile, and lets one more in."""
    answers = [edge.request("/api/v1/auth/login", method="POST") for _ in range(8)]
    assert [answer.status for answer in answers].count(200) in {5, 6}
    refused = [answer for answer in answers if answer.status != 200][-1]
    assert refused.status == 429
    assert refused.json["error"]["code"] == "EDGE_RATE_LIMITED"
    assert refused.headers["retry-after"] == "60"
    (record,) = edge.record_of(refused.headers["x-request-id"])
    assert len(record["trace_id"]) == 32
    assert refused.json["error"]["trace_id"] == record["trace_id"]
    assert edge.request("/api/v1/quotes", headers=edge.bearer()).status == 200


def test_an_overloaded_service_is_refused_at_once_and_a_slow_one_in_time(edge: Any) -> None:
    """The service takes one request and queues one; it answers none within 5 s."""
    began = time.monotonic()
    answers: list[tuple[int, float]] = []

    def ask() -> None:
        status = edge.request("/api/v1/slow", headers=edge.bearer()).status
        answers.append((status, time.monotonic() - began))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    edge.servers["tiny"].held.set()
    refused = [took for status, took in answers if status == 503]
    late = [took for status, took in answers if status == 504]
    assert len(refused) + len(late) == 6
    assert refused
    assert late
    assert min(late) >= 4.9
    assert max(refused) < min(late)


def test_a_service_that_is_down_is_named_unavailable(edge: Any) -> None:
    answer = edge.request("/api/v1/absent", headers=edge.bearer())
    assert answer.status == 503
    assert answer.json["error"]["code"] == "EDGE_UPSTREAM_UNAVAILABLE"


def test_an_honest_refusal_of_a_service_reaches_the_caller(edge: Any) -> None:
    headers = edge.bearer() | {"x-answer": "503"}
    for _ in range(12):
        answer = edge.request("/api/v1/quotes", headers=headers)
        assert answer.status == 503
        assert answer.json["path"] == "/api/v1/quotes"
    assert edge.request("/api/v1/quotes", headers=edge.bearer()).status == 200


def test_the_edge_starts_a_trace_or_continues_one(edge: Any) -> None:
    fresh = edge.request("/").json["headers"]["traceparent"]
    assert len(fresh.split("-")) == 4
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    given = {"traceparent": f"00-{trace_id}-b7ad6b7169203331-01"}
    assert trace_id in edge.request("/", headers=given).json["headers"]["traceparent"]


def test_the_access_log_is_json_without_secrets(edge: Any, until: Any) -> None:
    token = edge.tokens.make()
    headers = {"authorization": f"Bearer {token}"}
    answer = edge.request("/api/v1/quotes?secret=hunter2", headers=headers)
    request_id = answer.headers["x-request-id"]

    def line() -> dict[str, Any] | None:
        lines = [text for text in edge.output.read_text().splitlines() if request_id in text]
        return json.loads(lines[0]) if lines else None

    found = until(line)
    assert found["fields"]["path"] == "/api/v1/quotes"
    assert found["fields"]["status"] == 200
    assert found["fields"]["tls"] == "TLSv1.3"
    assert found["fields"]["upstream"] == "gateway"
    assert found["fields"]["traceparent"].split("-")[1] == found["trace_id"]
    assert "hunter2" not in edge.output.read_text()
    assert token not in edge.output.read_text()


def test_new_keys_apply_without_cutting_a_websocket(edge: Any, until: Any) -> None:
    """A rotated key set closes old tokens out while open streams go on."""
    fresh = type(edge.tokens)()
    headers = edge.bearer()
    lines = ["GET /api/v1/stream HTTP/1.1", "host: localhost"]
    lines += [f"{key}: {value}" for key, value in (headers | upgrade_headers()).items()]
    with edge.connect("localhost", edge.context()) as tls:
        tls.sendall("\r\n".join([*lines, "", ""]).encode())
        assert b" 101 " in tls.recv(4096)
        rotated = replace(edge.config, token=replace(edge.config.token, jwks=fresh.jwks))
        assert write_resources(rotated) == ("ecds",)
        try:
            until(lambda: edge.request("/api/v1/quotes", headers=headers).status == 401)
            new = {"authorization": f"Bearer {fresh.make()}"}
            assert edge.request("/api/v1/quotes", headers=new).status == 200
            tls.sendall(TICK)
            assert tls.recv(64)[2:] == b"tick"
        finally:
            write_resources(edge.config)
            until(lambda: edge.request("/api/v1/quotes", headers=headers).status == 200)


def test_a_renewed_certificate_is_served_without_a_restart(edge: Any, until: Any) -> None:
    def served() -> bytes:
        with edge.connect("localhost", edge.context()) as tls:
            return tls.getpeercert(binary_form=True) or b""

    before = served()
    edge.pki.issue("edge", x509.DNSName("localhost"), x509.DNSName("link.localhost"))
    until(lambda: served() != before)
    assert served() != before


def test_a_service_that_comes_back_is_used_again(edge: Any, until: Any) -> None:
    def status() -> int:
        return edge.request("/api/v1/returning", headers=edge.bearer()).status

    assert status() == 503
    path = next(one.socket for one in edge.config.upstreams if one.name == "returning")
    with edge.serve(path):
        until(lambda: status() == 200)
        assert status() == 200


def test_envoy_validates_what_we_write(edge: Any) -> None:
    assert edge.validate().returncode == 0
    assert "rejected" not in edge.output.read_text()

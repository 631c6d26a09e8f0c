"""Every rule of the application, seen from outside through the real listeners."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import Category, ErrorSpec
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.logging.optimized_log_router import current_context
from aitrading.core.security.claims import Authentication, Confirmation, Scope
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.core.testing.async_test import async_test
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.kit.asgi import Created
from aitrading.server.kit.authentication import RevocationView
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import (
    LOGGED_IN,
    PUBLIC,
    QueryField,
    endpoint,
    endpoints_of,
    peers,
    scope,
)
from aitrading.server.kit.limit_levels import LimitKind
from aitrading.server.kit.limit_settings import LimitSettings
from aitrading.server.kit.openapi import openapi_document, openapi_fragment
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import InProcessServer, serving
from aitrading.server.testing.probe_person import IN_A_BROWSER, browser_cookies

ORIGIN = "https://localhost:8000"
TRACE = "0af7651916cd43dd8448eb211c80319c"
BUSY = ErrorSpec(
    code="DESK_BUSY",
    category=Category.RETRYABLE,
    message="Busy for {retry_after_s} s.",
    why="Others are first.",
    remedy="Wait.",
    http_status=503,
)


class Note(msgspec.Struct, forbid_unknown_fields=True):
    text: str


class Seen(msgspec.Struct):
    tenant: str = ""
    trace_id: str = ""
    text: str = ""


class Desk:
    """One endpoint for each rule."""

    @endpoint("GET", "/api/v1/public", access=PUBLIC, answer=Seen)
    async def public(self, call: Call) -> Seen:
        """Anybody may read this."""
        return Seen(trace_id=current_context().trace_id, text=call.network)

    @endpoint("POST", "/api/v1/public", access=PUBLIC, body=Note, body_limit_bytes=64)
    async def publish(self, call: Call) -> Created:
        """Anybody may write this."""
        return Created(await call.json(Note))

    @endpoint("GET", "/api/v1/mine", access=LOGGED_IN, answer=Seen)
    async def mine(self, call: Call) -> Seen:
        """Who is it?"""
        return Seen(tenant=current_context().tenant, text=str(call.token.user))

    @endpoint("POST", "/api/v1/mine", access=scope(Scope.TRADE))
    async def trade(self, call: Call) -> None:
        """Needs the scope trade."""
        assert call.token.scopes

    @endpoint(
        "GET",
        "/api/v1/things/{thing}",
        access=PUBLIC,
        answer=Seen,
        query=(QueryField(name="of", doc="Whose.", required=True),),
        errors=(BUSY,),
    )
    async def thing(self, call: Call) -> Seen:
        """A thing by name."""
        return Seen(text=f"{call.path('thing')} of {call.query('of')}")

    @endpoint("GET", "/api/v1/busy", access=PUBLIC)
    async def busy(self, _call: Call) -> None:
        """Always busy."""
        raise BUSY.error(retry_after_s=7)

    @endpoint("GET", "/api/v1/broken", access=PUBLIC)
    async def broken(self, _call: Call) -> None:
        """A defect with a secret in its message."""
        raise LookupError("the password is hunter2")

    @endpoint("GET", "/api/v1/slow", access=PUBLIC, timeout_s=0.05)
    async def slow(self, _call: Call) -> None:
        """Never answers."""
        await asyncio.Event().wait()

    @endpoint("POST", "/api/v1/stop", access=LOGGED_IN, limit=LimitKind.EXEMPT)
    async def stop(self, call: Call) -> None:
        """What stops is never too often."""
        assert call.token.user

    @endpoint("GET", "/internal/v1/thing", access=peers("friend"), answer=Seen)
    async def internal(self, call: Call) -> Seen:
        """For one peer."""
        return Seen(text=call.caller.name, trace_id=call.trace.trace_id)


class Ended(RevocationView):
    """Sessions ended by the test."""

    is_certain = True

    def __init__(self) -> None:
        self.sessions: set[UUID] = set()

    def is_revoked(self, token: VerifiedToken) -> bool:
        return token.session in self.sessions


@asynccontextmanager
async def desk(
    revocations: RevocationView | None = None, *, limits: LimitSettings | None = None
) -> AsyncIterator[InProcessServer]:
    with socket_folder() as home:
        async with serving(
            InProcessServer(Path(home), "desk", SystemClock()),
            [Desk()],
            revocations,
            limits=limits or LimitSettings(),
        ) as server:
            yield server


def token_of(server: InProcessServer, *scopes: Scope, binding: Confirmation | None = None) -> str:
    grant = TokenGrant(
        tenant=TenantId(UUID(int=7)),
        user=UserId(UUID(int=8)),
        session=UUID(int=9),
        scopes=frozenset(scopes or {Scope.READ}),
        authentication=Authentication.PASSWORD,
        authenticated_ns=0,
        binding=binding,
    )
    return server.authority.user_token_issuer().issue(grant).token.reveal()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def cookie(token: str, **more: str) -> dict[str, str]:
    return {"cookie": f"other=1; {browser_cookies(token)}", **more}


@async_test
async def test_every_answer_has_ids_and_security_headers() -> None:
    async with desk() as server:
        for path, status in (("/api/v1/public", 200), ("/nowhere", 404), ("/api/v1/mine", 401)):
            answer = await server.edge("GET", path)
            assert answer.status == status
            assert UUID(answer.headers["x-request-id"])
            assert len(answer.headers["traceparent"]) == 55
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["cache-control"] == "no-store"
            policy = answer.headers["content-security-policy"]
            assert policy == "default-src 'none'; frame-ancestors 'none'"
            assert answer.headers["referrer-policy"] == "no-referrer"
            assert "server" not in answer.headers


@async_test
async def test_ids_of_the_edge_are_kept_and_nonsense_is_not() -> None:
    async with desk() as server:
        traceparent = f"00-{TRACE}-b7ad6b7169203331-01"
        given = {"traceparent": traceparent, "x-request-id": "edge-1234"}
        answer = await server.edge("GET", "/api/v1/public", headers=given)
        assert answer.headers["x-request-id"] == "edge-1234"
        assert answer.json["trace_id"] == TRACE
        assert answer.headers["traceparent"].split("-")[1] == TRACE
        assert answer.headers["traceparent"] != traceparent
        bad = {"traceparent": "00-zz", "x-request-id": "<script>"}
        answer = await server.edge("GET", "/api/v1/public", headers=bad)
        assert answer.headers["x-request-id"] != "<script>"
        assert answer.json["trace_id"] not in {"", TRACE}


@async_test
async def test_errors_have_the_one_shape() -> None:
    async with desk() as server:
        answer = await server.edge("GET", "/api/v1/busy")
        assert answer.status == 503
        assert answer.headers["retry-after"] == "7"
        assert answer.json == {
            "error": {
                "code": "DESK_BUSY",
                "message": "Busy for 7 s.",
                "category": "retryable",
                "fields": {"retry_after_s": 7},
                "remedy": "Wait.",
                "request_id": answer.headers["x-request-id"],
                "trace_id": answer.headers["traceparent"].split("-")[1],
            }
        }
        wrong_method = await server.edge("DELETE", "/api/v1/public")
        assert (wrong_method.status, wrong_method.code) == (405, "METHOD_NOT_ALLOWED")
        assert "GET" in wrong_method.headers["allow"]
        assert (await server.edge("GET", "/api/v1/slow")).code == "TIMED_OUT"


SAYING = (b'{"all": false}', b"[]", b"null", b"{}{}", b"\x00", b"{" * 1_000)


@async_test
async def test_what_takes_no_body_refuses_one_that_says_something() -> None:
    async with desk() as server:
        headers = bearer(token_of(server))
        for harmless in (b"", b"{}", b" {\n}\r\n"):
            answer = await server.edge("GET", "/api/v1/mine", headers=headers, body=harmless)
            assert answer.status == 200
        for said in SAYING:
            answer = await server.edge("GET", "/api/v1/mine", headers=headers, body=said)
            assert answer.code == "REQUEST_INVALID"
            assert "takes no body" in answer.json["error"]["message"]
            stopped = await server.edge("POST", "/api/v1/stop", headers=headers, body=said)
            assert stopped.status == 204, "what stops is never refused because of a body"
        large = await server.edge("GET", "/api/v1/mine", headers=headers, body=b" " * 70_000)
        assert large.code == "BODY_TOO_LARGE"


@async_test
async def test_whoever_asks_too_often_waits_and_may_still_stop() -> None:
    settings = LimitSettings(user_per_minute=3, identity_per_minute=3)
    async with desk(limits=settings) as server:
        headers = bearer(token_of(server))
        left: list[str] = []
        for _ in range(settings.user_per_minute):
            answer = await server.edge("GET", "/api/v1/mine", headers=headers)
            assert answer.status == 200
            assert answer.headers["ratelimit-policy"] == '"user";q=3;w=60'
            left.append(answer.headers["ratelimit"].partition(";t=")[0])
        assert left == ['"user";r=2', '"user";r=1', '"user";r=0']
        refused = await server.edge("GET", "/api/v1/mine", headers=headers)
        assert (refused.status, refused.code) == (429, "RATE_LIMIT_EXCEEDED")
        assert refused.json["error"]["message"].startswith("Rate limit exceeded")
        wait = int(refused.headers["retry-after"])
        assert 1 <= wait <= 20
        assert refused.headers["ratelimit"] == f'"user";r=0;t={wait}'
        assert refused.headers["ratelimit-policy"] == '"user";q=3;w=60'
        assert (await server.edge("POST", "/api/v1/stop", headers=headers)).status == 204


@async_test
async def test_a_defect_tells_nothing() -> None:
    async with desk() as server:
        answer = await server.edge("GET", "/api/v1/broken")
        assert (answer.status, answer.code) == (500, "INTERNAL_ERROR")
        assert b"hunter2" not in answer.body
        health = (await server.edge("GET", "/health")).json
        assert [error["count"] for error in health["errors"]] == [1]


@async_test
async def test_a_person_is_known_by_header_or_cookie() -> None:
    async with desk() as server:
        of_a_browser = token_of(server, binding=IN_A_BROWSER)
        for headers in (bearer(token_of(server)), cookie(of_a_browser)):
            answer = await server.edge("GET", "/api/v1/mine", headers=headers)
            assert answer.json == {
                "tenant": str(UUID(int=7)), "trace_id": "", "text": str(UUID(int=8)),
            }  # fmt: skip
        nobody = await server.edge("GET", "/api/v1/mine")
        assert (nobody.status, nobody.code) == (401, "TOKEN_MISSING")
        assert nobody.headers["www-authenticate"] == "Bearer"
        forged = await server.edge(
            "GET", "/api/v1/mine", headers=bearer(of_a_browser[:-4] + "AAAA")
        )
        assert (forged.status, forged.code) == (401, "TOKEN_REFUSED")


@async_test
async def test_cookies_of_other_programs_do_not_matter_and_two_of_ours_are_none() -> None:
    async with desk() as server:
        token = token_of(server, binding=IN_A_BROWSER)
        odd = f'a b=c; "; =; {{x}}; {browser_cookies(token)}; late'
        assert (await server.edge("GET", "/api/v1/mine", headers={"cookie": odd})).status == 200
        twice = f"__Host-aitrading={token}; __Host-aitrading=x"
        answer = await server.edge("GET", "/api/v1/mine", headers={"cookie": twice})
        assert answer.code == "TOKEN_MISSING"


@async_test
async def test_a_scope_that_is_missing_is_named() -> None:
    async with desk() as server:
        reader = bearer(token_of(server))
        answer = await server.edge("POST", "/api/v1/mine", headers=reader)
        assert (answer.status, answer.json["error"]["fields"]) == (403, {"scope": "trade"})
        trader = bearer(token_of(server, Scope.TRADE))
        assert (await server.edge("POST", "/api/v1/mine", headers=trader)).status == 204


@async_test
async def test_a_cookie_changes_nothing_for_another_site() -> None:
    async with desk() as server:
        token = token_of(server, Scope.TRADE, binding=IN_A_BROWSER)
        ours = await server.edge("POST", "/api/v1/mine", headers=cookie(token, origin=ORIGIN))
        assert ours.status == 204
        for origin in (
            "https://evil.example",
            "http://localhost:8000",
            "https://localhost",
            "https://localhost:8000.evil.example",
            "null",
        ):
            answer = await server.edge(
                "POST", "/api/v1/mine", headers=cookie(token, origin=origin)
            )
            assert (answer.status, answer.code) == (403, "ORIGIN_REFUSED")
        silent = await server.edge("POST", "/api/v1/mine", headers=cookie(token))
        assert silent.code == "ORIGIN_REFUSED"
        unbound = bearer(token_of(server, Scope.TRADE))
        program = await server.edge("POST", "/api/v1/mine", headers=unbound)
        assert program.status == 204


@async_test
async def test_public_writes_from_another_site_are_refused() -> None:
    async with desk() as server:
        body = b'{"text": "x"}'
        for headers, status in (
            ({}, 201),
            ({"origin": ORIGIN}, 201),
            ({"origin": "https://evil.example"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
        ):
            answer = await server.edge("POST", "/api/v1/public", headers=headers, body=body)
            assert answer.status == status


@async_test
async def test_a_bound_token_needs_its_certificate() -> None:
    async with desk() as server:
        digest = "ab" * 32
        bound = "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s"
        device = f"spiffe://aitrading/tenant/{UUID(int=1)}/device/{UUID(int=2)}"
        token = bearer(token_of(server, binding=Confirmation(x5t_s256=bound)))
        shown = {"x-forwarded-client-cert": f"Hash={digest};URI={device}"}
        other = {"x-forwarded-client-cert": f"Hash={'cd' * 32};URI={device}"}
        assert (await server.edge("GET", "/api/v1/mine", headers={**token, **shown})).status == 200
        for headers in (token, {**token, **other}, {**token, "x-forwarded-client-cert": digest}):
            assert (await server.edge("GET", "/api/v1/mine", headers=headers)).status == 401


@async_test
async def test_an_ended_session_is_refused() -> None:
    ended = Ended()
    async with desk(ended) as server:
        headers = bearer(token_of(server))
        assert (await server.edge("GET", "/api/v1/mine", headers=headers)).status == 200
        ended.sessions.add(UUID(int=9))
        assert (await server.edge("GET", "/api/v1/mine", headers=headers)).status == 401


@async_test
async def test_bodies_are_bounded_and_typed() -> None:
    async with desk() as server:
        too_large = await server.edge("POST", "/api/v1/public", body=b'"' + b"x" * 100 + b'"')
        assert (too_large.status, too_large.code) == (413, "BODY_TOO_LARGE")
        body = b"41\r\n" + b"x" * 65 + b"\r\n0\r\n\r\n"
        assert await _chunked(server, body) == 413
        for bad in (b"{", b'{"text": 1}', b'{"text": "x", "more": 1}', b"[" * 60):
            refused = await server.edge("POST", "/api/v1/public", body=bad)
            assert (refused.status, refused.code) == (400, "REQUEST_INVALID")
        form = {"content-type": "application/x-www-form-urlencoded"}
        refused = await server.edge("POST", "/api/v1/public", headers=form, body=b"text=x")
        assert refused.code == "REQUEST_INVALID"


async def _chunked(server: InProcessServer, body: bytes) -> int:
    """A body that does not say how long it is."""
    reader, writer = await asyncio.open_unix_connection(server.socket)
    head = (
        b"POST /api/v1/public HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
        b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    writer.write(head + body)
    status = int((await reader.read()).split()[1])
    writer.close()
    return status


@async_test
async def test_query_parameters_are_there_once() -> None:
    async with desk() as server:
        assert (await server.edge("GET", "/api/v1/things/a?of=b")).json["text"] == "a of b"
        for path in (
            "/api/v1/things/a",
            "/api/v1/things/a?of=b&of=c",
            "/api/v1/things/a?of=b&o=c",
            "/api/v1/things/a?of=b%00c",
            "/api/v1/things/a%00?of=b",
        ):
            assert (await server.edge("GET", path)).code == "REQUEST_INVALID"


@async_test
async def test_the_network_is_the_one_the_edge_saw() -> None:
    async with desk() as server:
        spoofed = {"x-forwarded-for": "1.1.1.1, 192.0.2.7"}
        answer = await server.edge("GET", "/api/v1/public", headers=spoofed)
        assert answer.json["text"] == "192.0.2.7"


@async_test
async def test_routes_are_counted_without_growing_with_paths() -> None:
    async with desk() as server:
        for number in range(20):
            await server.edge("GET", f"/api/v1/things/{number}?of=b")
            await server.edge("GET", f"/nowhere/{number}")
        text = (await server.edge("GET", "/metrics")).body.decode()
        assert 'route="/api/v1/things/{thing}"' in text
        assert 'route="other"' in text
        assert "nowhere" not in text


def test_an_internal_endpoint_is_declared_for_peers_and_only_there() -> None:
    for path, access in (("/internal/v1/x", PUBLIC), ("/api/v1/x", peers("friend"))):
        with pytest.raises(ValueError, match="internal"):
            endpoint("GET", path, access=access)


def test_the_document_follows_from_the_declarations() -> None:
    fragment = openapi_fragment(endpoints_of(Desk()))
    document = openapi_document([fragment], version="1")
    assert not any(path.startswith("/internal") for path in document["paths"])
    thing = document["paths"]["/api/v1/things/{thing}"]["get"]
    assert thing["summary"] == "A thing by name."
    assert [(each["name"], each["in"]) for each in thing["parameters"]] == [
        ("thing", "path"),
        ("of", "query"),
    ]
    assert thing["responses"]["503"]["description"] == "`DESK_BUSY`"
    assert "security" not in thing
    trade = document["paths"]["/api/v1/mine"]["post"]
    assert trade["x-scope"] == "trade"
    assert trade["security"] == [{"bearer": []}, {"proof": []}, {"cookie": []}]
    assert set(document["components"]["schemas"]) >= {"Seen", "Note", "ErrorAnswer"}

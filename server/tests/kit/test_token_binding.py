"""A token travels one way, with what it is bound to; a proof works once, with and without cache."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from ipaddress import ip_network
from pathlib import Path
from uuid import UUID

import pytest

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.claims import Authentication, Confirmation, Scope
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.network_claim import Network
from aitrading.core.security.possession import ProofMaker
from aitrading.core.testing.async_test import async_test
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.kit.authentication import RequestHead, folded
from aitrading.server.kit.bundle import ValkeyAccess
from aitrading.server.kit.cache.port import LIMITS, Cache
from aitrading.server.kit.cache.served import ServedCache
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint, scope
from aitrading.server.kit.limit_levels import LimitKind
from aitrading.server.kit.used_proofs import SharedCache
from aitrading.server.kit.valkey import ValkeyClient
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import InProcessServer, serving
from aitrading.server.testing.probe_person import IN_A_BROWSER, SESSION_SECRET, browser_cookies

ORIGIN = "https://localhost:8000"
KEY, THIEF = SigningKey.generate(), SigningKey.generate()
CLOCK = SystemClock()
IDS = SystemIdFactory(CLOCK, SystemRandomness())
OF_A_PROGRAM = Confirmation(jkt=KEY.public.thumbprint())


class Desk:
    @endpoint("GET", "/api/v1/read", access=scope(Scope.READ))
    async def read(self, call: Call) -> None:
        """Needs a reader."""

    @endpoint("POST", "/api/v1/trade", access=scope(Scope.TRADE))
    async def trade(self, call: Call) -> None:
        """Needs a trader."""

    @endpoint("DELETE", "/api/v1/trade", access=scope(Scope.TRADE), limit=LimitKind.EXEMPT)
    async def cancel(self, call: Call) -> None:
        """Reduces."""

    @endpoint("POST", "/api/v1/kill", access=scope(Scope.KILL))
    async def kill(self, call: Call) -> None:
        """Stops."""


@asynccontextmanager
async def desk(*, cache: bool = True) -> AsyncIterator[InProcessServer]:
    with socket_folder() as home:
        server = InProcessServer(Path(home), "data-bridge", CLOCK)
        if not cache:
            nowhere = ValkeyAccess(user="x", password="x", socket=Path(home) / "none")  # noqa: S106
            client = ValkeyClient(nowhere)
            gone = Cache(LIMITS, ServedCache(client, nullcontext), CLOCK, server.ids)
            server.shared = SharedCache(together=gone, alone=server.shared.alone, client=client)
        async with serving(server, [Desk()]):
            yield server


def token_of(
    server: InProcessServer,
    binding: Confirmation | None,
    networks: tuple[Network, ...] = (),
) -> str:
    grant = TokenGrant(
        tenant=TenantId(UUID(int=7)),
        user=UserId(UUID(int=8)),
        session=UUID(int=9),
        scopes=frozenset({Scope.READ, Scope.TRADE, Scope.KILL}),
        authentication=Authentication.PASSWORD,
        authenticated_ns=0,
        networks=networks,
        binding=binding,
    )
    return server.authority.user_token_issuer().issue(grant).token.reveal()


def proven(
    token: str, method: str, path: str, key: SigningKey = KEY, *, said: str | None = None
) -> dict[str, str]:
    """Headers of a program that holds the key; `said` is the token that the proof names."""
    maker = ProofMaker(key, clock=CLOCK, ids=IDS)
    proof = maker.make(method, f"{ORIGIN}{path}", said or token)
    return {"authorization": f"DPoP {token}", "dpop": proof}


async def status(server: InProcessServer, method: str, path: str, headers: dict[str, str]) -> int:
    return (await server.edge(method, path, headers=headers)).status


@async_test
async def test_a_browsers_token_works_in_its_cookies_and_nowhere_else() -> None:
    async with desk() as server:
        token = token_of(server, IN_A_BROWSER)
        right = {"cookie": browser_cookies(token), "origin": ORIGIN}
        assert await status(server, "POST", "/api/v1/trade", right) == 204
        stolen = (
            {"authorization": f"Bearer {token}"},
            {"authorization": f"Bearer {token}", **right},
            proven(token, "POST", "/api/v1/trade"),
            {"cookie": f"__Host-aitrading={token}", "origin": ORIGIN},
            {"cookie": browser_cookies(token).replace(SESSION_SECRET, "x"), "origin": ORIGIN},
            {"cookie": browser_cookies(token) + "; __Host-aitrading-session=x", "origin": ORIGIN},
        )
        for headers in stolen:
            answer = await server.edge("POST", "/api/v1/trade", headers=headers)
            assert (answer.status, answer.code) == (401, "TOKEN_REFUSED"), headers


@async_test
async def test_a_programs_token_is_nothing_in_a_cookie() -> None:
    async with desk() as server:
        for binding in (None, OF_A_PROGRAM):
            token = token_of(server, binding)
            answer = await server.edge(
                "GET", "/api/v1/read", headers={"cookie": browser_cookies(token)}
            )
            assert answer.code == "TOKEN_REFUSED"


@async_test
async def test_a_bound_token_works_with_a_proof_of_its_key_only() -> None:
    async with desk() as server:
        token, other = token_of(server, OF_A_PROGRAM), token_of(server, OF_A_PROGRAM)
        path = "/api/v1/trade"
        assert await status(server, "POST", path, proven(token, "POST", path)) == 204
        query = proven(token, "GET", "/api/v1/read")
        assert await status(server, "GET", "/api/v1/read", query) == 204
        stolen = (
            {"authorization": f"Bearer {token}"},
            {"authorization": f"DPoP {token}"},
            proven(token, "POST", path, THIEF),
            proven(token, "POST", path, said=other),
            proven(token, "GET", path),
            proven(token, "POST", "/api/v1/kill"),
            {**proven(token, "POST", path), "authorization": f"Bearer {token}"},
            {**proven(token, "POST", path), "host": "evil.example"},
        )
        for headers in stolen:
            answer = await server.edge("POST", path, headers=headers)
            assert (answer.status, answer.code) == (401, "TOKEN_REFUSED"), headers


@async_test
async def test_a_proof_adds_nothing_to_an_unbound_token() -> None:
    async with desk() as server:
        token = token_of(server, None)
        headers = proven(token, "GET", "/api/v1/read")
        assert await status(server, "GET", "/api/v1/read", headers) == 401


@async_test
async def test_two_proofs_in_one_request_are_none() -> None:
    """RFC 9449, 4.3: on two lines, or on one where a proxy joined them."""
    path = "/api/v1/trade"
    async with desk() as server:
        token = token_of(server, OF_A_PROGRAM)
        right = proven(token, "POST", path)
        good, other = right["dpop"], proven(token, "POST", path)["dpop"]
        two = (
            {**right, "DPoP": other},
            {**right, "DPoP": good},
            {**right, "DPoP": "x"},
            {**right, "dpop": "x", "DPoP": good},
            {**right, "dpop": f"{good}, {other}"},
            {**right, "dpop": f"{good},"},
            {**right, "Authorization": f"DPoP {token}"},
        )
        for headers in two:
            answer = await server.edge("POST", path, headers=headers)
            assert (answer.status, answer.code) == (401, "TOKEN_REFUSED"), headers
        assert await status(server, "POST", path, right) == 204, "none of them was spent"


def test_what_came_on_several_lines_is_one_value() -> None:
    lines = (("DPoP", "a"), ("dpop", "b"), ("Cookie", "a=1"), ("cookie", "a=2"), ("host", "h"))
    assert folded(lines) == {"dpop": "a, b", "cookie": "a=1; a=2", "host": "h"}


@pytest.mark.parametrize("cache", [True, False], ids=["with the cache", "without the cache"])
def test_a_proof_works_once(*, cache: bool) -> None:
    @async_test
    async def scenario() -> None:
        async with desk(cache=cache) as server:
            headers = proven(token_of(server, OF_A_PROGRAM), "GET", "/api/v1/read")
            answers = [await status(server, "GET", "/api/v1/read", headers) for _ in range(3)]
            assert answers == [204, 401, 401]

    scenario()


@async_test
async def test_what_another_instance_saw_is_refused_here() -> None:
    async with desk() as server:
        headers = proven(token_of(server, OF_A_PROGRAM), "GET", "/api/v1/read")
        assert await status(server, "GET", "/api/v1/read", headers) == 204
        async with serving(server, [Desk()]) as second:
            assert await status(second, "GET", "/api/v1/read", headers) == 401


@async_test
async def test_without_the_cache_a_program_still_logs_in_and_renews() -> None:
    async with desk(cache=False) as server:
        proof = ProofMaker(KEY, clock=CLOCK, ids=IDS).make("POST", f"{ORIGIN}/api/v1/auth/login")
        headers = {"dpop": proof, "host": "localhost:8000"}
        head = RequestHead(headers=headers, method="POST", path="/api/v1/auth/login")
        authenticator = server.authenticator()
        assert await authenticator.key_of(head) == KEY.public.thumbprint()
        with pytest.raises(AitradingError, match="TOKEN_REFUSED"):
            await authenticator.key_of(head)


@async_test
async def test_a_withdrawn_key_ends_what_stays_open() -> None:
    async with desk() as server:
        token = server.verifier().verify_user(token_of(server, None))
        authenticator = server.authenticator()
        assert not authenticator.is_revoked(token)
        server.authority.stage_user_key()
        server.authority.switch_user_key(overlap=False)
        assert authenticator.is_revoked(token)


@async_test
async def test_without_the_cache_trading_is_refused_and_says_so_and_the_rest_goes_on() -> None:
    async with desk(cache=False) as server:
        token = token_of(server, OF_A_PROGRAM)
        trade = proven(token, "POST", "/api/v1/trade")
        answer = await server.edge("POST", "/api/v1/trade", headers=trade)
        assert (answer.status, answer.code) == (503, "PROOF_UNCHECKED")
        assert answer.json["error"]["category"] == "retryable"
        going_on = (
            ("GET", "/api/v1/read"),
            ("POST", "/api/v1/kill"),
            ("DELETE", "/api/v1/trade"),
        )
        for method, path in going_on:
            assert await status(server, method, path, proven(token, method, path)) == 204
        unbound = {"authorization": f"Bearer {token_of(server, None)}"}
        assert await status(server, "POST", "/api/v1/trade", unbound) == 204


@async_test
async def test_a_token_with_networks_opens_nothing_from_elsewhere_not_even_what_reduces() -> None:
    office = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    ways = (("GET", "read"), ("POST", "trade"), ("DELETE", "trade"), ("POST", "kill"))
    async with desk() as server:
        bearer = {"authorization": f"Bearer {token_of(server, None, office)}"}
        for method, path in ways:
            for seen in ("10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7, 2001:db8::7"):
                headers = {**bearer, "x-forwarded-for": seen}
                assert await status(server, method, f"/api/v1/{path}", headers) == 204, seen
            for seen in ("192.0.2.7", "10.1.2.3, 192.0.2.7", "10.1.2.3,2001:db9::1", "nonsense"):
                headers = {**bearer, "x-forwarded-for": seen}
                answer = await server.edge(method, f"/api/v1/{path}", headers=headers)
                assert (answer.status, answer.code) == (403, "NETWORK_REFUSED"), seen
            assert await status(server, method, f"/api/v1/{path}", bearer) == 204, "on the host"


@async_test
async def test_the_next_token_of_a_connection_counts_where_the_connection_is() -> None:
    async with desk() as server:
        door = server.authenticator()
        bearer = {"authorization": f"Bearer {token_of(server, None)}"}
        inside, outside = (
            door.identify(RequestHead(headers={**bearer, "x-forwarded-for": address}))
            for address in ("10.1.2.3", "192.0.2.7")
        )
        fresh = token_of(server, None, (ip_network("10.0.0.0/8"),))
        assert door.renewed(fresh, inside)
        with pytest.raises(AitradingError) as refused:
            door.renewed(fresh, outside)
        assert refused.value.code == "TOKEN_REFUSED"


@async_test
async def test_the_longest_list_leaves_a_token_that_fits_in_a_cookie() -> None:
    networks = tuple(ip_network(f"2001:db8::{n:x}/128") for n in range(1, 61))
    async with desk() as server:
        token = token_of(server, IN_A_BROWSER, networks)
        assert len(f"__Host-aitrading={token}") < 3_000
        headers = {"cookie": browser_cookies(token), "x-forwarded-for": "2001:db8::3c"}
        assert await status(server, "GET", "/api/v1/read", headers) == 204

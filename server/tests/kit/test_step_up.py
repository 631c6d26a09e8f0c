"""Which endpoints ask for a recent proof follows from their declarations, and each one refuses."""

import importlib
import re
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest

from aitrading.core.kit.clock import NS_PER_S, SystemClock
from aitrading.core.kit.ids import TenantId, UserId
from aitrading.core.security.claims import Authentication, Scope
from aitrading.core.testing.async_test import async_test
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import (
    PUBLIC,
    Endpoint,
    endpoint,
    endpoints_of_class,
    peers,
    proved_recently,
)
from aitrading.server.kit.openapi import access_text
from aitrading.server.kit.step_up import STEP_UP_NEEDED
from aitrading.server.kit.step_up_settings import StepUpSettings
from aitrading.server.supervisor.bundles import SERVICES
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import InProcessServer, serving

NEVER: Final = {
    ("POST", "/api/v1/kill"),
    ("POST", "/api/v1/orders"),
    ("DELETE", "/api/v1/orders/{order}"),
    ("POST", "/api/v1/auth/logout"),
    ("POST", "/api/v1/auth/step-up"),
}
"""What makes things safer, and daily work, is never held up; nor is the proof itself."""
OWN_FACTORS: Final = ("/api/v1/auth/factors", "/api/v1/auth/password")


def declared() -> list[Endpoint]:
    specs = [importlib.import_module(f"{each.module}.service").SPEC for each in SERVICES]
    owners = [owner for spec in specs for owner in spec.endpoints]
    return [found for owner in owners for found in endpoints_of_class(owner)]


DECLARED: Final = declared()
CAREFUL: Final = [each for each in DECLARED if each.access.step_up]


def test_every_change_that_an_administrator_makes_asks_for_a_recent_proof() -> None:
    changes = [each for each in DECLARED if each.method != "GET" and not each.access.peers]
    for each in changes:
        needs = (
            each.access.scope is Scope.ADMIN
            or each.path.startswith(OWN_FACTORS)
            or (each.method, each.path) == ("DELETE", "/api/v1/kill")
        )
        assert each.access.step_up is needs, (each.method, each.path)
    assert not {(each.method, each.path) for each in CAREFUL} & NEVER
    assert {(each.method, each.path) for each in DECLARED} >= NEVER


def test_the_documents_tell_it() -> None:
    for each in CAREFUL:
        assert STEP_UP_NEEDED in each.errors
        assert access_text(each.access).endswith("proved recently")


def test_only_a_person_proves_it_anew() -> None:
    for access in (PUBLIC, peers("admin")):
        with pytest.raises(ValueError, match="person"):
            proved_recently(access)


def owner_of(declarations: list[Endpoint]) -> object:
    """An object with these endpoints that answers each of them with 204."""

    def handler(each: Endpoint) -> Any:
        async def answer(self: object, call: Call) -> None:
            """Done."""
            del self, call

        return endpoint(each.method, each.path, access=each.access, summary="s")(answer)

    methods = {f"m{number}": handler(each) for number, each in enumerate(declarations)}
    return type("Owner", (), methods)()


@async_test
async def test_each_refuses_an_old_proof_and_takes_a_fresh_one() -> None:
    clock = SystemClock()
    with socket_folder() as home:
        server = InProcessServer(Path(home), "api-gateway", clock)
        issuer = server.authority.user_token_issuer()

        def bearer(age_s: int) -> dict[str, str]:
            grant = TokenGrant(
                tenant=TenantId(UUID(int=1)),
                user=UserId(UUID(int=2)),
                session=UUID(int=3),
                scopes=frozenset(Scope),
                authentication=Authentication.MFA,
                authenticated_ns=clock.now_ns() - age_s * NS_PER_S,
            )
            return {"authorization": f"Bearer {issuer.issue(grant).token.reveal()}"}

        old, fresh = bearer(400), bearer(0)
        async with serving(server, [owner_of(CAREFUL)]):
            for each in CAREFUL:
                path = re.sub(r"{[a-z_]+}", "x", each.path)
                refused = await server.edge(each.method, path, headers=old)
                assert (refused.status, refused.code) == (403, "STEP_UP_NEEDED"), each
                assert refused.json["error"]["fields"] == {"max_age_s": 300}
                assert (await server.edge(each.method, path, headers=fresh)).status == 204, each


@async_test
async def test_an_installation_chooses_the_age_or_none() -> None:
    clock = SystemClock()
    for settings, status in (
        (StepUpSettings(max_age_s=600), 204),
        (StepUpSettings(enabled=False, max_age_s=30), 204),
        (StepUpSettings(max_age_s=30), 403),
    ):
        with socket_folder() as home:
            server = InProcessServer(Path(home), "api-gateway", clock)
            grant = TokenGrant(
                tenant=TenantId(UUID(int=1)),
                user=UserId(UUID(int=2)),
                session=UUID(int=3),
                scopes=frozenset(Scope),
                authentication=Authentication.PASSWORD,
                authenticated_ns=clock.now_ns() - 400 * NS_PER_S,
            )
            token = server.authority.user_token_issuer().issue(grant).token.reveal()
            async with serving(server, [owner_of(CAREFUL[:1])], step_up=settings):
                path = re.sub(r"{[a-z_]+}", "x", CAREFUL[0].path)
                headers = {"authorization": f"Bearer {token}"}
                answer = await server.edge(CAREFUL[0].method, path, headers=headers)
                assert answer.status == status


@async_test
async def test_an_installation_may_want_a_second_factor_of_who_administers() -> None:
    clock = SystemClock()
    settings = StepUpSettings(needs_second_factor=True, enabled=False)
    administers = [each for each in DECLARED if each.access.scope is Scope.ADMIN]
    assert any(not each.access.step_up for each in administers), "reading is administration too"
    others = [each for each in CAREFUL if each.access.scope is not Scope.ADMIN]
    with socket_folder() as home:
        server = InProcessServer(Path(home), "api-gateway", clock)
        issuer = server.authority.user_token_issuer()

        async def statuses(how: Authentication, declarations: list[Endpoint]) -> set[int]:
            grant = TokenGrant(
                tenant=TenantId(UUID(int=1)),
                user=UserId(UUID(int=2)),
                session=UUID(int=3),
                scopes=frozenset(Scope),
                authentication=how,
                authenticated_ns=clock.now_ns(),
            )
            headers = {"authorization": f"Bearer {issuer.issue(grant).token.reveal()}"}
            found = set()
            for each in declarations:
                path = re.sub(r"{[a-z_]+}", "x", each.path)
                found.add((await server.edge(each.method, path, headers=headers)).status)
            return found

        async with serving(server, [owner_of([*administers, *others])], step_up=settings):
            for how in (Authentication.PASSWORD, Authentication.LINK):
                assert await statuses(how, administers) == {403}
                assert await statuses(how, others) == {204}, "or nobody could set one up"
            for how in (Authentication.MFA, Authentication.HOST):
                assert await statuses(how, administers) == {204}

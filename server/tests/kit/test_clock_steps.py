"""The machine's clock is set back: nothing that was ended or used counts again."""

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from aitrading.core.infrastructure.events import RaisedEpoch
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.claims import USER_TOKEN_LIFETIME_S, Authentication, Scope
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.jwt_manager import JwtVerifier
from aitrading.core.security.possession import PROOF_LIFETIME_S, ProofMaker
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.kit.authentication import RequestHead
from aitrading.server.kit.revoked_tokens import Revocation, RevokedTokens
from aitrading.server.kit.service_tokens import ServiceTokenSource
from aitrading.server.kit.step_up import require_recent
from aitrading.server.kit.step_up_settings import StepUpSettings
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import InProcessServer

BACK_S = 1_800
PERSON, SESSION = UUID(int=2), UUID(int=3)
LOGOUT = Revocation(sessions=(SESSION,))
SUSPENSION = Revocation(users=(RaisedEpoch(id=PERSON, epoch=1),))
OF_SOMEBODY = Revocation(sessions=(UUID(int=99),), users=(RaisedEpoch(id=UUID(int=98), epoch=1),))


@pytest.fixture
def server() -> Iterator[InProcessServer]:
    with socket_folder() as home:
        yield InProcessServer(Path(home), "data-bridge", ManualClock())


def issued(server: InProcessServer) -> str:
    grant = TokenGrant(
        tenant=TenantId(UUID(int=1)),
        user=UserId(PERSON),
        session=SESSION,
        scopes=frozenset({Scope.TRADE}),
        authentication=Authentication.PASSWORD,
        authenticated_ns=server.clock.now_ns(),
    )
    return server.authority.user_token_issuer().issue(grant).token.reveal()


def counts(verifier: JwtVerifier, revoked: RevokedTokens, token: str) -> bool | None:
    """None outside the token's life."""
    try:
        return not revoked.is_revoked(verifier.verify_user(token))
    except AitradingError:
        return None


@pytest.mark.parametrize("ended", [LOGOUT, SUSPENSION], ids=["logout", "suspension"])
def test_what_was_revoked_is_refused_for_as_long_as_its_token_lives(
    server: InProcessServer, ended: Revocation
) -> None:
    @async_test
    async def scenario() -> None:
        clock, verifier = server.clock, server.verifier()
        assert isinstance(clock, ManualClock)
        token, revoked = issued(server), RevokedTokens(clock)
        assert counts(verifier, revoked, token)
        revoked.apply(ended)
        clock.step_wall(-BACK_S)
        seen = set[bool | None]()
        for _ in range(0, BACK_S + USER_TOKEN_LIFETIME_S, 60):
            await clock.advance(60)
            revoked.apply(OF_SOMEBODY)  # whoever comes later makes it look what is over
            seen.add(counts(verifier, revoked, token))
        assert seen == {None, False}  # not yet valid again, then still refused
        await clock.advance(BACK_S)
        assert not revoked.recent(10)
        assert not revoked.epochs()

    scenario()


@async_test
async def test_a_proof_that_was_used_is_refused_for_as_long_as_it_lives() -> None:
    with socket_folder() as home:
        clock = ManualClock()
        door = InProcessServer(Path(home), "data-bridge", clock).authenticator()
        maker = ProofMaker(
            SigningKey.generate(), clock=clock, ids=SystemIdFactory(clock, SystemRandomness())
        )
        first = head_of(maker)
        assert await door.key_of(first)
        clock.step_wall(-BACK_S)
        for _ in range(0, BACK_S + PROOF_LIFETIME_S, 30):
            await clock.advance(30)
            assert await door.key_of(head_of(maker))
            with pytest.raises(AitradingError, match="TOKEN_REFUSED"):
                await door.key_of(first)


def test_services_go_on_calling_each_other() -> None:
    clock = ManualClock()
    ids = SystemIdFactory(clock, SystemRandomness())
    source = ServiceTokenSource("data-bridge", SigningKey.generate(), clock=clock, ids=ids)
    before = source.token_for("api-gateway")
    assert source.token_for("api-gateway") == before
    clock.step_wall(-BACK_S)
    after = source.token_for("api-gateway")
    assert after != before, "that one begins in the future, and is refused"
    assert source.token_for("api-gateway") == after


def test_a_proof_of_a_person_is_not_fresh_for_the_length_of_the_step(
    server: InProcessServer,
) -> None:
    person, settings = server.verifier().verify_user(issued(server)), StepUpSettings()
    assert settings.enabled
    assert isinstance(server.clock, ManualClock)
    require_recent(person, settings, server.clock.now_ns())
    server.clock.step_wall(-BACK_S)
    with pytest.raises(AitradingError, match="STEP_UP_NEEDED"):
        require_recent(person, settings, server.clock.now_ns())


def head_of(maker: ProofMaker) -> RequestHead:
    proof = maker.make("POST", "https://localhost:8000/api/v1/auth/login")
    headers = {"dpop": proof, "host": "localhost:8000"}
    return RequestHead(headers=headers, method="POST", path="/api/v1/auth/login")

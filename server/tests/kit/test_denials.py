"""What is denied is told folded, within bounds, and until the audit trail has it."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from typing_extensions import override

from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.event_bus import EventEnvelope
from aitrading.core.infrastructure.events import DenialsRecorded, Denied, RecordDenials
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.claims import Authentication, Confirmation, Scope
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.jwt_manager import VerifiedToken
from aitrading.core.security.possession import ProofMaker
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.core.testing.memory_bus import MemoryBroker, MemoryBus
from aitrading.server.authority.tokens import TokenGrant
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.authentication import Misuse, RequestHead, RevocationView
from aitrading.server.kit.call import Call
from aitrading.server.kit.denial_reporter import DenialReporter
from aitrading.server.kit.denials import (
    MAX_COUNTED,
    MAX_KINDS_OF_PERSON,
    MAX_KINDS_OF_TENANT,
    SEVERAL,
    WINDOW_S,
    Denial,
    Denials,
)
from aitrading.server.kit.endpoints import endpoint, proved_recently, scope
from aitrading.server.kit.http_errors import NOT_FOUND
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.testing.engines import socket_folder
from aitrading.server.testing.http import InProcessServer, serving

CLOCK = SystemClock()
IDS = SystemIdFactory(CLOCK, SystemRandomness())
TENANT, USER = TenantId(UUID(int=7)), UserId(UUID(int=8))
ALL = 1_000_000


def a_book(clock: Any = CLOCK) -> Denials:
    return Denials("data-bridge", clock=clock, ids=IDS, randomness=SystemRandomness())


def a_denial(
    path: object = "/x", *, actor: object = USER, tenant: TenantId = TENANT, address: str = ""
) -> Denial:
    return Denial(
        action=AuditAction.ACCESS_REFUSED,
        tenant=tenant,
        actor=f"user:{actor}",
        subject=f"GET {path}",
        reason="SCOPE_MISSING",
        address=address,
    )


def test_the_first_is_told_at_once_and_repeats_are_folded() -> None:
    book = a_book()
    told = list[int]()
    for _ in range(1000):
        book.note(a_denial())
        told.extend(each.count for each in book.take(ALL))
    assert told == [2**power for power in range(10)]


def test_what_waits_is_one_event_with_a_count() -> None:
    book = a_book()
    for _ in range(1000):
        book.note(a_denial(address="192.0.2.1"))
    (event,) = book.take(ALL)
    assert (event.count, event.actor, event.subject) == (1000, f"user:{USER}", "GET /x")
    assert event.source
    assert "192" not in event.source
    assert book.take(ALL) == ()


def test_one_person_has_a_share_and_another_is_heard_all_the_same() -> None:
    book = a_book()
    for number in range(10_000):
        book.note(a_denial(number))
    book.note(a_denial(actor="other"))
    events = book.take(ALL)
    assert len(events) == MAX_KINDS_OF_PERSON + 2
    together = [each for each in events if each.subject == SEVERAL]
    assert [each.count for each in together] == [10_000 - MAX_KINDS_OF_PERSON]
    assert events[-1].actor == "user:other"


def test_one_organisation_has_a_share_and_another_is_heard_all_the_same() -> None:
    book = a_book()
    for number in range(10_000):
        book.note(a_denial(number, actor=number))
    book.note(a_denial(tenant=TenantId(UUID(int=99))))
    events = book.take(ALL)
    assert len(events) == MAX_KINDS_OF_TENANT + 2
    assert [each.count for each in events if each.actor == SEVERAL] == [
        10_000 - MAX_KINDS_OF_TENANT
    ]
    assert events[-1].tenant == UUID(int=99)


@async_test
async def test_memory_is_bounded_what_has_no_room_is_told_and_the_next_hour_begins_anew() -> None:
    clock = ManualClock()
    book = a_book(clock)
    for number in range(3 * MAX_COUNTED):
        book.note(a_denial(tenant=TenantId(UUID(int=number + 1))))
    assert book.waiting == MAX_COUNTED
    assert book.dropped == 2 * MAX_COUNTED
    *_, lost = book.take(ALL)
    assert (lost.action, lost.tenant) == (AuditAction.ACCESS_UNTOLD, PLATFORM)
    assert (lost.count, lost.subject) == (2 * MAX_COUNTED, "data-bridge")
    await clock.advance(WINDOW_S + 1)
    book.note(a_denial())
    assert [each.count for each in book.take(ALL)] == [1]


class Bundle:
    service = "data-bridge"


@async_test
async def test_events_are_told_again_under_their_ids_until_they_are_confirmed() -> None:
    metrics = Metrics()
    errors = ErrorHandler(
        clock=CLOCK,
        randomness=SystemRandomness(),
        metrics=metrics,
        resilience=ResilienceRegistry(),
    )
    bus = MemoryBus(MemoryBroker(), clock=CLOCK, ids=IDS, errors=errors)
    await bus.start()
    book, bundle = a_book(), Bundle()
    reporter = DenialReporter(
        bus,
        book,
        bundle,  # type: ignore[arg-type]
        clock=CLOCK,
        errors=errors,
        metrics=metrics,
    )
    await reporter.start()
    book.note(a_denial())
    await reporter.report()
    assert "aitrading_denials_waiting 1.0" in metrics.render().decode(), "nobody answers yet"
    fails, heard = [True], list[Denied]()

    async def record(command: RecordDenials, _: EventEnvelope) -> DenialsRecorded:
        heard.extend(command.denials)
        if fails.pop() if fails else False:
            raise OSError("the database went away behind the commit")
        return DenialsRecorded(denials=len(command.denials))

    subscription = await bus.respond(RecordDenials, record, scope=None)
    await reporter.report()
    book.note(a_denial())
    await reporter.report()
    assert [each.count for each in heard] == [1, 1, 2]
    assert heard[0] == heard[1]
    for number in range(2 * MAX_COUNTED):
        book.note(a_denial(tenant=TenantId(UUID(int=number + 1))))
    await reporter.report()
    assert heard[-1].action == AuditAction.ACCESS_UNTOLD
    assert reporter.state is ComponentState.DEGRADED
    await reporter.stop()
    await subscription.close()
    await bus.stop()


class Desk:
    @endpoint("GET", "/api/v1/read", access=scope(Scope.READ))
    async def read(self, call: Call) -> None:
        """Needs a reader."""

    @endpoint("POST", "/api/v1/trade", access=scope(Scope.TRADE))
    async def trade(self, call: Call) -> None:
        """Needs a trader."""

    @endpoint("POST", "/api/v1/change", access=proved_recently(scope(Scope.READ)))
    async def change(self, call: Call) -> None:
        """Needs a fresh proof."""

    @endpoint("GET", "/api/v1/things/{thing}", access=scope(Scope.READ))
    async def thing(self, call: Call) -> None:
        """Somebody else's, or none."""
        raise NOT_FOUND.error(path=call.path("thing"))


class Ended(RevocationView):
    ended = False

    @override
    def is_revoked(self, token: VerifiedToken) -> bool:
        return self.ended

    @property
    @override
    def is_certain(self) -> bool:
        return True


def token_of(server: InProcessServer, binding: Confirmation | None = None) -> str:
    grant = TokenGrant(
        tenant=TENANT,
        user=USER,
        session=UUID(int=9),
        scopes=frozenset({Scope.READ}),
        authentication=Authentication.PASSWORD,
        authenticated_ns=0,
        binding=binding,
    )
    return server.authority.user_token_issuer().issue(grant).token.reveal()


def told(server: InProcessServer) -> list[tuple[str, str, str]]:
    events = server.denials.take(ALL)
    assert {(each.tenant, each.actor) for each in events} <= {(TENANT, f"user:{USER}")}
    return [(each.action, each.subject, each.reason) for each in events]


@async_test
async def test_what_a_service_denies_to_who_is_logged_in_is_noted_and_nothing_else() -> None:
    refused, misused = AuditAction.ACCESS_REFUSED, AuditAction.TOKEN_MISUSED
    ended = Ended()
    with socket_folder() as home:
        server = InProcessServer(Path(home), "data-bridge", CLOCK)
        async with serving(server, [Desk()], ended):
            plain = {"authorization": f"Bearer {token_of(server)}"}

            async def ask(method: str, path: str, headers: dict[str, str]) -> int:
                return (await server.edge(method, path, headers=headers)).status

            assert await ask("GET", "/api/v1/read", plain) == 204
            assert await ask("GET", "/api/v1/nothing", plain) == 404
            assert await ask("GET", "/api/v1/read", {}) == 401
            forged = {"authorization": plain["authorization"][:-8] + "AAAAAAAA"}
            assert await ask("GET", "/api/v1/read", forged) == 401
            assert told(server) == [], "granted, nowhere, a stranger, a forger"

            assert await ask("POST", "/api/v1/trade", plain) == 403
            assert await ask("POST", "/api/v1/change", plain) == 403
            assert await ask("GET", "/api/v1/things/7", plain) == 404
            assert told(server) == [
                (refused, "POST /api/v1/trade", "SCOPE_MISSING"),
                (refused, "POST /api/v1/change", "STEP_UP_NEEDED"),
                (refused, "GET /api/v1/things/{thing}", "NOT_FOUND"),
            ]

            key = SigningKey.generate()
            bound = token_of(server, Confirmation(jkt=key.public.thumbprint()))
            proof = ProofMaker(key, clock=CLOCK, ids=IDS).make(
                "GET", "https://localhost:8000/api/v1/read", bound
            )
            proven = {"authorization": f"DPoP {bound}", "dpop": proof}
            without = {"authorization": f"Bearer {bound}"}
            seen = [
                await ask("GET", "/api/v1/read", each)
                for each in (proven, proven, without, {**proven, "dpop": "x"})
            ]
            assert seen == [204, 401, 401, 401]
            ended.ended = True
            assert await ask("GET", "/api/v1/read", plain) == 401
            assert told(server) == [
                (misused, "GET /api/v1/read", Misuse.PROOF_USED),
                (misused, "GET /api/v1/read", Misuse.NOT_BOUND),
                (misused, "GET /api/v1/read", Misuse.ENDED),
            ]


@async_test
async def test_a_cookie_from_another_site_and_another_session_on_an_open_connection() -> None:
    with socket_folder() as home:
        server = InProcessServer(Path(home), "data-bridge", CLOCK)
        authenticator = server.authenticator()
        cookie = {"cookie": f"__Host-aitrading={token_of(server)}", "origin": "https://evil.test"}
        head = RequestHead(headers=cookie, method="POST", route="/api/v1/trade")
        with pytest.raises(AitradingError):
            authenticator.identify(head)
        token = token_of(server)
        mine = RequestHead(headers={"authorization": f"Bearer {token}"}, route="/stream")
        found = authenticator.identify(mine)
        assert authenticator.renewed(token, found).user == USER
        with pytest.raises(AitradingError):
            authenticator.renewed(token_of(server, Confirmation(jkt="other")), found)
        assert told(server) == [
            (AuditAction.ACCESS_REFUSED, "POST /api/v1/trade", "ORIGIN_REFUSED"),
            (AuditAction.TOKEN_MISUSED, "GET /stream", Misuse.OTHER_SESSION),
        ]


@async_test
async def test_a_granted_request_never_comes_to_the_book() -> None:
    with socket_folder() as home:
        server = InProcessServer(Path(home), "data-bridge", CLOCK)
        authenticator = server.authenticator()
        server.denials.note = never  # type: ignore[method-assign]
        head = RequestHead(headers={"authorization": f"Bearer {token_of(server)}"})
        assert (await authenticator.person(head, Scope.READ)).user == USER


def never(_: Denial) -> None:
    raise AssertionError("a granted request was noted")

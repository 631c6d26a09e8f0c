"""What it costs to know who sent a request: a token anew, a token again, a proof of a key.

The floor is the signature check of the crypto library over the same bytes, in turn with what is
measured; medians of processor time count. The hit rate is counted, not timed: people at the peak
of a day ask all services, renew their tokens, lose sessions and log in again, and every signature
that is checked for it is a miss of the caches that running services have.
"""

import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from uuid import UUID

import msgspec
from typing_extensions import override

from aitrading.core.kit.clock import Clock, SystemClock
from aitrading.core.kit.ids import SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.claims import (
    USER_TOKEN_LIFETIME_S,
    Authentication,
    Confirmation,
    Scope,
    TokenHeader,
)
from aitrading.core.security.crypto import SigningKey, VerifyKey
from aitrading.core.security.encoding import base64url_decode
from aitrading.core.security.jwt_manager import JwtVerifier, StaticKeySet
from aitrading.core.security.possession import ProofMaker, Target, check_proof
from aitrading.core.testing.manual_clock import ManualClock
from aitrading.server.authority.tokens import TokenGrant, UserTokenIssuer
from aitrading.server.kit.authentication import RequestHead
from aitrading.server.kit.revoked_tokens import Revocation, RevokedTokens
from aitrading.server.kit.service_tokens import FileKeySet
from aitrading.server.testing.http import InProcessServer

ROUNDS: Final = 9
TOKENS: Final = 200
LONG_FACTOR: Final = 5
NS_PER_US: Final = 1_000
PEOPLE: Final = 2_000
REQUESTS_PER_S: Final = 5
SIMULATED_S: Final = 180
ENDED_PER_MINUTE: Final = 0.01
"""The share of all sessions that somebody ends; the person logs in again."""
PROCESSES: Final = 4
"""Each service has a cache of its own, and people ask them all."""
STRIDE: Final = 7_919
"""Spreads what happens to one person after another; a prime."""
S_PER_MINUTE: Final = 60
HOST: Final = "localhost:8000"
PATH: Final = "/api/v1/quotes"
Figures = dict[str, float | None]


async def run(*, long: bool = False) -> Figures:
    """Measure the three ways with their floors, and count the hits."""
    with TemporaryDirectory() as folder:
        server = InProcessServer(Path(folder), "bench", SystemClock())
        figures = _measured(_ways(server), ROUNDS * (LONG_FACTOR if long else 1))
    return figures | {"cache.hit_rate": await Peak().hit_rate()}


def _measured(ways: dict[str, Callable[[], None]], rounds: int) -> Figures:
    spent: dict[str, list[float]] = {name: [] for name in ways}
    for each in ways.values():
        each()  # fills the cache that one of them reads
    for _ in range(rounds):
        for name, each in ways.items():
            began_ns = time.process_time_ns()
            each()
            spent[name].append((time.process_time_ns() - began_ns) / TOKENS / NS_PER_US)
    us = {name: statistics.median(times) for name, times in spent.items()}
    costs: Figures = {f"auth.{name}_us": cost for name, cost in us.items()}
    return costs | {
        "auth.verify_ratio": us["verify"] / us["floor"],
        "auth.proof_ratio": us["proof"] / us["proof_floor"],
        "auth.cached_ratio": us["cached"] / us["floor"],
    }


def _ways(server: InProcessServer) -> dict[str, Callable[[], None]]:
    """One round of each; whatever refuses one of its tokens or proofs raises."""
    issuer = server.authority.user_token_issuer()
    tokens = [_token(issuer, server.clock, person) for person in range(TOKENS)]
    key = FileKeySet(server.authority.user_keys_file).find(_key_id(tokens[0]))
    if key is None:
        raise RuntimeError("the key of the tokens is not published")
    service = server.authenticator(RevokedTokens(server.clock))
    heads = [RequestHead(headers={"authorization": f"Bearer {token}"}) for token in tokens]
    program = SigningKey.generate()
    bound = _token(issuer, server.clock, TOKENS, Confirmation(jkt=program.public.thumbprint()))
    maker = ProofMaker(program, clock=server.clock, ids=server.ids)
    proofs = [maker.make("GET", f"https://{HOST}{PATH}", bound) for _ in range(TOKENS)]
    target = Target(method="GET", host=HOST, path=PATH, token=bound)
    signed_tokens, signed_proofs = _signed(tokens), _signed(proofs)

    def verify() -> None:
        verifier = server.verifier()
        for token in tokens:
            verifier.verify_user(token)

    def cached() -> None:
        for head in heads:
            service.identify(head)

    def proof() -> None:
        for text in proofs:
            check_proof(text, target, now_ns=server.clock.now_ns())

    return {
        "floor": lambda: _check(key, signed_tokens),
        "verify": verify,
        "cached": cached,
        "proof_floor": lambda: _check(program.public, signed_proofs),
        "proof": proof,
    }


class CountedKey(VerifyKey):
    """A key that counts how often a signature was checked with it."""

    checks = 0

    @override
    def verify(self, signature: bytes, message: bytes) -> bool:
        self.checks += 1
        return super().verify(signature, message)


class Peak:
    """People who ask the services all the time, on a clock that the simulation moves."""

    def __init__(self) -> None:
        self._clock = ManualClock()
        ids = SystemIdFactory(self._clock, SystemRandomness())
        signing = SigningKey.generate()
        self._issuer = UserTokenIssuer(signing, clock=self._clock, ids=ids)
        self._key = CountedKey(signing.public.raw)
        keys = StaticKeySet({self._key.thumbprint(): self._key})
        self._processes = [
            JwtVerifier(clock=self._clock, user_keys=keys, service_keys=keys)
            for _ in range(PROCESSES)
        ]
        self._revoked = RevokedTokens(self._clock)
        self._logins = 0
        self._tokens = [self._log_in() for _ in range(PEOPLE)]

    async def hit_rate(self) -> float:
        """The share of requests for which no signature had to be checked."""
        requests = 0
        for second in range(SIMULATED_S):
            self._end_sessions(second)
            for person in _due(second, USER_TOKEN_LIFETIME_S, PEOPLE):
                self._tokens[person] = self._log_in()
            for turn in range(REQUESTS_PER_S):
                for person, token in enumerate(self._tokens):
                    process = self._processes[(person + second + turn) % PROCESSES]
                    if self._revoked.is_revoked(process.verify_user(token)):
                        raise RuntimeError("a token that counts was refused")
                    requests += 1
            await self._clock.advance(1)
        return 1 - self._key.checks / requests

    def _end_sessions(self, second: int) -> None:
        every_s = S_PER_MINUTE / ENDED_PER_MINUTE
        for each in _due(second, every_s, PEOPLE):
            person = each * STRIDE % PEOPLE
            before = self._processes[0].verify_user(self._tokens[person])
            self._revoked.apply(Revocation(sessions=(before.session,)))
            if not self._revoked.is_revoked(before):
                raise RuntimeError("a token of an ended session was let in")
            self._tokens[person] = self._log_in()

    def _log_in(self) -> str:
        self._logins += 1
        return _token(self._issuer, self._clock, self._logins)


def _due(second: int, cycle_s: float, people: int) -> range:
    """Whose turn it is in this second, when everybody's comes once in a cycle."""
    return range(int(second * people / cycle_s), int((second + 1) * people / cycle_s))


def _token(
    issuer: UserTokenIssuer, clock: Clock, number: int, binding: Confirmation | None = None
) -> str:
    grant = TokenGrant(
        tenant=TenantId(UUID(int=1)),
        user=UserId(UUID(int=number + 1)),
        session=UUID(int=number + 1),
        scopes=frozenset({Scope.READ, Scope.TRADE}),
        authentication=Authentication.PASSWORD,
        authenticated_ns=clock.now_ns(),
        binding=binding,
    )
    return issuer.issue(grant).token.reveal()


def _key_id(token: str) -> str:
    head = base64url_decode(token.partition(".")[0])
    return msgspec.json.decode(head, type=TokenHeader).kid


def _signed(texts: Iterable[str]) -> list[tuple[bytes, bytes]]:
    """Signature and signed bytes of each."""
    parts = (text.rpartition(".") for text in texts)
    return [(base64url_decode(signature), body.encode()) for body, _, signature in parts]


def _check(key: VerifyKey, signed: list[tuple[bytes, bytes]]) -> None:
    for signature, body in signed:
        if not key.verify(signature, body):
            raise RuntimeError("a signature of this benchmark is wrong")

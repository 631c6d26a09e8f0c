"""Writes that may be repeated: one key names one request, and the same one gets the same answer."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

import msgspec

from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec, Severity
from aitrading.core.kit.ids import TenantId
from aitrading.core.security.crypto import sha256
from aitrading.server.kit.audit_trail import HOST_ACTOR
from aitrading.server.kit.call import Call
from aitrading.server.kit.database_errors import DATABASE_ALREADY_EXISTS
from aitrading.server.kit.http_errors import REQUEST_INVALID
from aitrading.server.kit.queries import Queries
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.kit.transactions import TenantTransaction

IDEMPOTENCY_HEADER: Final = "idempotency-key"
_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{8,128}")
_SQL: Final = Queries.load("aitrading.server.kit", "idempotency.sql")
T = TypeVar("T")

IDEMPOTENCY_KEY_REUSED: Final = ErrorSpec(
    code="IDEMPOTENCY_KEY_REUSED",
    category=Category.DENIED,
    message="This Idempotency-Key was used for another request.",
    why="A key names one request; a repeat must be the same in every byte.",
    remedy="Send a new key with a new request.",
    http_status=409,
    severity=Severity.INFO,
)


@dataclass(frozen=True, kw_only=True)
class Write:
    """Who changes something, and the request's own name so that a repeat is recognised."""

    tenant: TenantId
    actor: str
    key: str
    request: bytes


class IdempotentWrites:
    """Remembers for a week which key brought which answer, per organisation."""

    def __init__(self, replay: Replay) -> None:
        self._replay = replay

    async def once(
        self, by: Write, apply: Callable[[TenantTransaction], Awaitable[T]], shape: type[T]
    ) -> T:
        """Apply, or give the first answer again; of parallel repeats exactly one applies.

        The answer is remembered in the transaction of the change, so a commit whose answer got
        lost is recognised, too. Raises `IDEMPOTENCY_KEY_REUSED`.
        """
        digest = sha256(by.request)

        async def write(tx: TenantTransaction) -> tuple[bytes, str]:
            known = await tx.fetch_row(_SQL["find_write"], by.key)
            if known is not None:
                return known["request_sha256"], known["answer"]
            await tx.execute(_SQL["forget_writes"])
            text = msgspec.json.encode(await apply(tx)).decode()
            await tx.execute(_SQL["remember_write"], by.key, digest, text)
            return digest, text

        try:
            request, answer = await self._replay.run(by.tenant, write, idempotent=True)
        except AitradingError as exc:
            if exc.spec is not DATABASE_ALREADY_EXISTS:
                raise
            request, answer = await self._replay.run(by.tenant, write, idempotent=True)
        if request != digest:
            raise IDEMPOTENCY_KEY_REUSED.error()
        return msgspec.json.decode(answer, type=shape)


async def write_of(call: Call) -> Write:
    """Who writes what under which key; raises `REQUEST_INVALID` without a key."""
    key = call.header(IDEMPOTENCY_HEADER) or ""
    if not _KEY.fullmatch(key):
        raise REQUEST_INVALID.error(
            reason="the header Idempotency-Key is missing, or not 8 to 128 of A-Z a-z 0-9 . _ : -"
        )
    token = call.token
    target = f"{call.path_and_method}\0".encode()
    return Write(
        tenant=token.tenant,
        actor=f"user:{token.user}",
        key=key,
        request=target + await call.body(),
    )


async def host_write_of(call: Call) -> Write:
    """A write of the host's administrator, whose every command is a request of its own."""
    return Write(tenant=PLATFORM, actor=HOST_ACTOR, key=call.request_id, request=await call.body())

"""Another key signs access tokens, and nobody notices: `aitrading keys rotate-tokens`."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec
from typing_extensions import override

from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import Clock
from aitrading.core.kit.errors import AitradingError, Category, ErrorSpec
from aitrading.core.kit.ids import SystemIdFactory, TenantId, UserId
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.security.claims import Authentication
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.own_authority import ask_for_own_certificate
from aitrading.server.api_gateway.identity.admin_endpoints import ADMIN, ADMIN_PATH
from aitrading.server.authority.installation import Authority
from aitrading.server.authority.tokens import TokenGrant, UserTokenIssuer
from aitrading.server.kit.audit_actions import AuditAction
from aitrading.server.kit.audit_trail import HOST_ACTOR, AuditEvent, AuditTrail
from aitrading.server.kit.call import Call
from aitrading.server.kit.endpoints import endpoint
from aitrading.server.kit.replay import Replay
from aitrading.server.kit.tenancy import PLATFORM
from aitrading.server.kit.transactions import TenantTransaction

PROVED_IN_A_ROW: Final = 8
"""New connections that accept the key; each may meet another worker of the edge."""
PROBE_PAUSE_S: Final = 0.1
PROBE_TIMEOUT_S: Final = 2.0
EDGE_WAIT_S: Final = 20.0
"""Less than the endpoint's own limit, so that the refusal is told."""
RETIRE_EVERY_S: Final = 30.0
ANSWER_MAX_BYTES: Final = 4_096
_BEHIND_THE_EDGE: Final = b'"LOGIN_REFUSED"'
"""What the service behind the edge's token check says of a person who does not exist. Any other
answer - of a limit, a wrong host, a service that is away - tells nothing about the key."""

TOKEN_KEY_NOT_TAKEN: Final = ErrorSpec(
    code="TOKEN_KEY_NOT_TAKEN",
    category=Category.RETRYABLE,
    message="The edge does not accept the new key yet; the old one goes on signing.",
    why="The edge is not running, or did not take its new configuration.",
    remedy="Look at `aitrading status`, then run `aitrading keys rotate-tokens` again: it goes on "
    "with the same key.",
    http_status=503,
)


class RotateTokens(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to rotate."""

    leaked: bool = False
    """End every token of the old key at once."""


class TokenRotation(msgspec.Struct, frozen=True, kw_only=True):
    """The key that signs now, and how many are published."""

    kid: str
    published: int


class EdgeProbe:
    """Asks the edge itself whether a token passes it."""

    def __init__(self, host: str, port: int, ca: Path) -> None:
        self._host = host
        self._port = port
        self._ca = ca

    async def accepts(self, token: str) -> bool:
        """Whether a new connection lets the token through; False when nothing tells so."""
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                return await self._ask(token)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return False

    async def _ask(self, token: str) -> bool:
        context = ask_for_own_certificate(ssl.create_default_context(cafile=str(self._ca)))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._port, ssl=context, server_hostname=self._host
        )
        try:
            head = (
                "GET /api/v1/auth/me HTTP/1.1",
                f"host: {self._host}:{self._port}",
                f"authorization: Bearer {token}",
                "connection: close",
            )
            writer.write("\r\n".join([*head, "", ""]).encode())
            answer = b""
            while len(answer) < ANSWER_MAX_BYTES and (more := await reader.read(ANSWER_MAX_BYTES)):
                answer += more
        finally:
            writer.close()
        return answer.startswith(b"HTTP/1.1 ") and _BEHIND_THE_EDGE in answer


class TokenKeys(LoopingComponent):
    """Rotates the key of access tokens and retires old ones; a component.

    Killed at any point, a rotation leaves the old key signing or the new one, each published: a
    key is published and known to the edge before it signs, and stays until its last token is over.
    """

    def __init__(
        self,
        authority: Authority,
        issuer: UserTokenIssuer,
        edge: EdgeProbe,
        *,
        replay: Replay,
        audit: AuditTrail,
        clock: Clock,
        on_error: Callable[[Exception], object],
    ) -> None:
        super().__init__("token-keys", on_error=on_error)
        self.depends_on = ("postgres",)
        self.critical = False
        self._authority = authority
        self._issuer = issuer
        self._edge = edge
        self._replay = replay
        self._audit = audit
        self._clock = clock
        self._on_error = on_error
        self._rotating = asyncio.Lock()

    @override
    async def start(self) -> None:
        """Take keys whose last token is over from the published ones, from now on."""
        self._tasks.keep(self._retire_for_ever, name="retire", clock=self._clock)
        self._state = ComponentState.HEALTHY

    @endpoint(
        "POST",
        f"{ADMIN_PATH}/keys/rotate-tokens",
        access=ADMIN,
        body=RotateTokens,
        answer=TokenRotation,
        errors=(TOKEN_KEY_NOT_TAKEN,),
    )
    async def rotate(self, call: Call) -> TokenRotation:
        """Publish a key, wait until the edge accepts it, then let it sign."""
        wanted = await call.json(RotateTokens)
        async with self._rotating:
            staged = await asyncio.to_thread(self._authority.stage_user_key)
            await self._wait_for_the_edge(staged)
            await self._note(staged, leaked=wanted.leaked)
        # Its own task: who asked may go away in the middle, and the keys may not stay there.
        switching = self._tasks.start(self._switch(leaked=wanted.leaked), name="switch")
        switched = await asyncio.shield(switching)
        if not isinstance(switched, SigningKey):
            raise switched or RuntimeError("the switch failed; the log tells why")
        return TokenRotation(
            kid=switched.public.thumbprint(), published=self._authority.published_user_keys()
        )

    async def _switch(self, *, leaked: bool) -> SigningKey | Exception:
        """Let the staged key sign; whatever fails, what signs is what the files say."""
        async with self._rotating:
            try:
                return await asyncio.to_thread(self._authority.switch_user_key, overlap=not leaked)
            except (AitradingError, OSError) as exc:
                return exc
            finally:
                self._issuer.sign_with(await asyncio.to_thread(self._authority.signing_user_key))

    async def _wait_for_the_edge(self, key: SigningKey) -> None:
        try:
            async with asyncio.timeout(EDGE_WAIT_S):
                await self._proved_by_the_edge(key)
        except TimeoutError:
            raise TOKEN_KEY_NOT_TAKEN.error() from None

    async def _proved_by_the_edge(self, key: SigningKey) -> None:
        in_a_row = 0
        while in_a_row < PROVED_IN_A_ROW:
            in_a_row = in_a_row + 1 if await self._edge.accepts(self._probe_token(key)) else 0
            if in_a_row == 0:
                await self._clock.sleep(PROBE_PAUSE_S)

    def _probe_token(self, key: SigningKey) -> str:
        """A token of nobody, without any right; the services refuse to know such a person."""
        ids = SystemIdFactory(self._clock, SystemRandomness())
        grant = TokenGrant(
            tenant=TenantId(UUID(int=0)),
            user=UserId(ids.new()),
            session=ids.new(),
            scopes=frozenset(),
            authentication=Authentication.HOST,
            authenticated_ns=self._clock.now_ns(),
        )
        return UserTokenIssuer(key, clock=self._clock, ids=ids).issue(grant).token.reveal()

    async def _note(self, key: SigningKey, *, leaked: bool) -> None:
        async def apply(tx: TenantTransaction) -> None:
            event = AuditEvent(
                actor=HOST_ACTOR,
                action=AuditAction.TOKEN_KEY_ROTATED,
                subject=f"token_key:{key.public.thumbprint()}",
                details={"tokens_ended": leaked},
            )
            await self._audit.add(tx, event)

        await self._replay.once(PLATFORM, apply)

    async def _retire_for_ever(self) -> None:
        while True:
            await self._clock.sleep(RETIRE_EVERY_S)
            try:
                async with self._rotating:  # both write the published keys
                    await asyncio.to_thread(self._authority.retire_user_keys)
            except (AitradingError, OSError) as exc:
                self._on_error(exc)

"""Keeps what Envoy reads true: its certificate, the keys of tokens, listener, and routes.

Routes follow the service registry: who registers is routed within a moment, without a restart.
"""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Final

from typing_extensions import override

from aitrading.core.infrastructure.central_hub import ChangeListener, RegistryChange
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.infrastructure.lifecycle import ComponentState
from aitrading.core.infrastructure.looping import LoopingComponent
from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.server.api_gateway.edge.config import EdgeConfig
from aitrading.server.api_gateway.edge.xds import write_resources
from aitrading.server.authority.installation import EdgeCredentials

LOOK_AGAIN_S: Final = 5.0
PAUSE_S: Final = 0.1
"""Between two changes of the registry: a service that flaps does not keep Envoy busy."""
RENEW_BEFORE_END_S: Final = 10 * 24 * 3600

_log = get_logger(__name__)

MakeConfig = Callable[[], EdgeConfig]
IssueCertificate = Callable[[tuple[str, ...]], EdgeCredentials]
FollowRegistry = Callable[[ChangeListener], Callable[[], None]]


class EdgeKeeper(LoopingComponent):
    """A component: when `start` returns, Envoy finds everything it needs.

    Token keys and the certificate are looked at again every `LOOK_AGAIN_S`, and everything when a
    service registers or goes; what changed is written, the rest is left alone, and a failure
    leaves the last good files in force.
    """

    def __init__(
        self,
        make_config: MakeConfig,
        issue: IssueCertificate,
        *,
        follow: FollowRegistry,
        clock: Clock,
        errors: ErrorHandler,
    ) -> None:
        super().__init__("edge", on_error=errors.classify)
        self._make_config = make_config
        self._issue = issue
        self._clock = clock
        self._errors = errors
        self._changed = asyncio.Event()
        self._refreshing = asyncio.Lock()
        self._follow_registry = follow
        self._unfollow: Callable[[], None] | None = None
        self._certificate_ends_ns = 0

    @override
    async def start(self) -> None:
        """Write everything; raises what keeps the edge from being configured."""
        self._state = ComponentState.STARTING
        loop = asyncio.get_running_loop()

        def changed(_: RegistryChange) -> None:
            loop.call_soon_threadsafe(self._changed.set)

        self._unfollow = self._follow_registry(changed)
        await asyncio.to_thread(self._refresh)
        self._tasks.keep(self._keep, name="keep", clock=self._clock)
        self._tasks.keep(self._follow, name="follow", clock=self._clock)
        self._state = ComponentState.HEALTHY

    @override
    async def stop(self) -> None:
        """Leave the files: Envoy goes on serving what works."""
        if self._unfollow is not None:
            self._unfollow()
        await self._tasks.close()
        self._state = ComponentState.STOPPED

    async def look_again(self) -> None:
        """Do now what is done every few seconds; raises what keeps it from that."""
        async with self._refreshing:
            await asyncio.to_thread(self._refresh)

    async def show_another_key(self) -> None:
        """The edge's key was changed: let it show the new one now; raises what keeps it from that."""
        async with self._refreshing:
            self._certificate_ends_ns = 0
            await asyncio.to_thread(self._refresh)

    async def _keep(self) -> None:
        while True:
            await self._clock.sleep(LOOK_AGAIN_S)
            await self._refresh_or_degrade()

    async def _follow(self) -> None:
        """A service that comes or goes is routed at once, not at the next look."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._refresh_or_degrade()
            await self._clock.sleep(PAUSE_S)

    async def _refresh_or_degrade(self) -> None:
        async with self._refreshing:
            try:
                await asyncio.to_thread(self._refresh)
            except Exception as exc:  # noqa: BLE001 - the last good files stay in force
                self._errors.classify(exc)
                self._state = ComponentState.DEGRADED
            else:
                self._state = ComponentState.HEALTHY

    def _refresh(self) -> None:
        config = self._make_config()
        self._renew_certificate(config)
        if config.site is not None:
            make_private_folder(config.site_file.parent)
            _replace(config.site_file, config.site.pem.reveal())
        if written := write_resources(config):
            _log.info("the edge's configuration changed", files=", ".join(written))
        if config.site is None:
            config.site_file.unlink(missing_ok=True)  # what Envoy serves, it has in memory

    def _renew_certificate(self, config: EdgeConfig) -> None:
        rest_ns = self._certificate_ends_ns - self._clock.now_ns()
        if rest_ns > RENEW_BEFORE_END_S * NS_PER_S:
            return
        issued = self._issue(certificate_names(config))
        make_private_folder(config.certificate.parent)
        _replace(config.private_key, issued.private_key_pem.reveal())
        _replace(config.certificate, issued.certificate_pem)
        self._certificate_ends_ns = issued.not_after_ns


def certificate_names(config: EdgeConfig) -> tuple[str, ...]:
    """Every name that a client may ask for; addresses without the brackets of a URL."""
    names = (*config.hosts, *config.link_hosts)
    return tuple(name.removeprefix("[").removesuffix("]") for name in names)


def _replace(path: Path, content: bytes) -> None:
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content)

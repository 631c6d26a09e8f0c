"""Asks the server what this client is to use, checks it, uses it, keeps it.

Whatever is wrong with a bundle, the one before stays in force, here and on disk; the server is told
why with the next question.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from aitrading.client.config_manager.store import BundleStore, Seen
from aitrading.client.security.device_files import DeviceRecord
from aitrading.core.infrastructure.config_manager import ConfigInvalidError, ConfigManager
from aitrading.core.infrastructure.error_handler import RECONNECT_FOREVER, ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.kit.clock import NS_PER_MS, Clock, now_ms, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError, Category, FieldValue
from aitrading.core.kit.randomness import Randomness
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.security.config_bundle import (
    BundleContent,
    SignedBundle,
    WantedBundle,
    open_bundle,
    refused,
)
from aitrading.core.security.device_requests import DevicePurpose
from aitrading.core.security.server_pins import SignedPins

PATH: Final = "/api/v1/devices/configuration"
PROBLEM_CHARS_MAX: Final = 256
T = TypeVar("T")

_log = get_logger(__name__)


class Server(Protocol):
    """Signed questions to the server; `DeviceCalls` asks them."""

    def ask(
        self, purpose: DevicePurpose, path: str, content: dict[str, Any], answer: type[T]
    ) -> T:
        """The answer, or what the server or the way there raised; blocks."""
        ...


class ConfigKeeper:
    """The part `config-manager`."""

    def __init__(  # noqa: PLR0913 - the meeting point of what a bundle is asked for, kept and used
        self,
        open_store: Callable[[], BundleStore],
        record: DeviceRecord,
        server: Server,
        take_pins: Callable[[SignedPins], None],
        config: ConfigManager,
        *,
        ask_every_s: float,
        clock: Clock,
        randomness: Randomness,
        errors: ErrorHandler,
    ) -> None:
        self.in_use: BundleContent | None = None
        self.problem = ""
        self._open_store = open_store
        self._record = record
        self._server = server
        self._take_pins = take_pins
        self._config = config
        self._ask_every_s = ask_every_s
        self._clock = clock
        self._randomness = randomness
        self._errors = errors
        self._seen = Seen()
        self._wake = asyncio.Event()
        self._state = ComponentState.STARTING

    @property
    def state(self) -> ComponentState:
        """DEGRADED while something was refused, or what is used should have been renewed."""
        if self._state is ComponentState.HEALTHY and self._is_expired():
            return ComponentState.DEGRADED
        return self._state

    def statistics(self) -> dict[str, FieldValue]:
        """For health."""
        content = self.in_use
        return {
            "version": content.version if content else 0,
            "highest_version": self._seen.version,
            "settings": len(content.settings) if content else 0,
            "expires": rfc3339_of_ns(content.expires_ms * NS_PER_MS) if content else None,
            "is_expired": self._is_expired(),
            "problem": self.problem or None,
        }

    def look_now(self) -> None:
        """Ask the server at once."""
        self._wake.set()

    async def run(self) -> None:
        """Use what is stored, then ask for ever."""
        store = await asyncio.to_thread(self._open_store)
        await self._recall(store)
        failures = 0
        while True:
            self._wake.clear()
            failures = 0 if await self._ask(store) else failures + 1
            wait_s = self._ask_every_s
            if failures:
                wait_s = min(wait_s, RECONNECT_FOREVER.delay_s(failures, self._randomness))
            await self._rest(wait_s)

    async def _rest(self, wait_s: float) -> None:
        """Until it is time, or somebody says that there is news."""
        async with TaskSet("config-manager") as tasks:
            tasks.start(self._ring_after(wait_s), name="time")
            await self._wake.wait()

    async def _ring_after(self, wait_s: float) -> None:
        await self._clock.sleep(wait_s)
        self._wake.set()

    async def _recall(self, store: BundleStore) -> None:
        """What was in use before the start, if nobody put something older in its place."""
        try:
            self._seen = await asyncio.to_thread(store.seen)
            bundle = await asyncio.to_thread(store.bundle)
            if bundle is not None:
                content = self._opened(bundle)
                self._require_newest(content)
                self._apply(content)
                await self._note(store)
        except AitradingError as exc:
            self._refuse(exc)

    async def _ask(self, store: BundleStore) -> bool:
        """One question; False when it should be asked again soon."""
        wanted = WantedBundle(
            version=self._seen.version,
            digest=self.in_use.digest if self.in_use else "",
            problem=self.problem[:PROBLEM_CHARS_MAX],
        )
        content = {
            "version": wanted.version, "digest": wanted.digest, "problem": wanted.problem,
        }  # fmt: skip
        try:
            bundle = await asyncio.to_thread(
                self._server.ask, DevicePurpose.CONFIGURATION, PATH, content, SignedBundle
            )
        except AitradingError as exc:
            if exc.spec.category is not Category.RETRYABLE:
                self._refuse(exc)
            return False  # what is in use stays; the link says that the server is away
        try:
            await self._take(store, bundle)
            if bundle.pins is not None:
                await asyncio.to_thread(self._take_pins, bundle.pins)
        except (AitradingError, OSError) as exc:
            self._refuse(exc)
            return False
        self._state, self.problem = ComponentState.HEALTHY, ""
        return True

    async def _take(self, store: BundleStore, bundle: SignedBundle) -> None:
        """Check, keep and use; raises and leaves everything as it was."""
        content = self._opened(bundle)
        if now_ms(self._clock) >= content.expires_ms:
            raise refused("its time is over")
        self._require_newest(content)
        is_new = self.in_use is None or self.in_use.version != content.version
        self._tell(content, self._config.check_bundle)
        seen = Seen(version=content.version, digest=content.digest)
        await _kept(store, bundle, seen)
        self._apply(content)
        if is_new:
            self._wake.set()  # asking again says that it is in use
            _log.info("configuration in use", version=content.version, set=len(content.settings))

    async def _note(self, store: BundleStore) -> None:
        """A crash may have come between the bundle and the note of its version."""
        try:
            await asyncio.to_thread(store.note, self._seen)
        except OSError as exc:
            self._errors.classify(exc)

    def _opened(self, bundle: SignedBundle) -> BundleContent:
        record = self._record
        return open_bundle(
            bundle,
            authority_pem=record.server_ca.encode(),
            tenant=record.tenant,
            device=record.device,
        )

    def _require_newest(self, content: BundleContent) -> None:
        seen = self._seen
        if content.version < seen.version:
            raise refused(f"version {content.version} is older than {seen.version}, used before")
        if content.version == seen.version and content.digest != seen.digest:
            raise refused(f"version {content.version} was used before with other settings")

    def _apply(self, content: BundleContent) -> None:
        """Let the settings count, all of them or none."""
        self._tell(content, self._config.apply_bundle)
        self.in_use = content
        self._seen = Seen(version=content.version, digest=content.digest)

    def _tell(
        self, content: BundleContent, to: Callable[[dict[str, object], str], object]
    ) -> None:
        values: dict[str, object] = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in content.settings.items()
        }
        try:
            to(values, f"bundle {content.version}")
        except ConfigInvalidError as exc:
            problems = "; ".join(str(problem) for problem in exc.problems)
            raise refused(problems[:PROBLEM_CHARS_MAX]) from exc

    def _refuse(self, exc: AitradingError | OSError) -> None:
        self._errors.classify(exc)
        self.problem = exc.message if isinstance(exc, AitradingError) else str(exc)
        self._state = ComponentState.DEGRADED

    def _is_expired(self) -> bool:
        content = self.in_use
        return content is not None and now_ms(self._clock) >= content.expires_ms


async def _kept(store: BundleStore, bundle: SignedBundle, seen: Seen) -> None:
    """Whoever stops meanwhile waits for the disk: what it finds then is what stays."""
    writing = asyncio.get_running_loop().run_in_executor(None, store.keep, bundle, seen)
    try:
        await asyncio.shield(writing)
    except asyncio.CancelledError:
        await asyncio.wait([writing])
        raise

"""A configuration of the server is used and kept; whatever is wrong with one, the last good stays."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any
from uuid import UUID

import msgspec
import pytest

from aitrading.client.config_manager.keeper import ConfigKeeper
from aitrading.client.config_manager.settings import ConfigurationSettings
from aitrading.client.config_manager.store import BundleStore, Seen
from aitrading.client.security.device_files import DeviceRecord, ServerAddress
from aitrading.client.security.passphrase import PassphraseProtection
from aitrading.client.security.protection import Protection, ProtectionKind
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.device_settings import REMOTE_SECTIONS, MarketMonitorSettings
from aitrading.core.infrastructure.error_handler import ErrorHandler
from aitrading.core.infrastructure.lifecycle import ComponentState, TaskSet
from aitrading.core.infrastructure.metrics import Metrics
from aitrading.core.infrastructure.resilience import ResilienceRegistry
from aitrading.core.kit.clock import SystemClock, now_ms
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.kit.secret import Secret
from aitrading.core.security.config_bundle import (
    BundleContent,
    Scalar,
    SignedBundle,
    key_message,
    sign_bundle,
)
from aitrading.core.security.crypto import SigningKey
from aitrading.core.security.crypto_fields import PassphraseCost
from aitrading.core.security.server_pins import SignedPins, pins_refused
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.core.testing.throwaway_ca import IDENTITY, ThrowawayCa

CLOCK = SystemClock()
CHEAP = PassphraseCost(memory_kib=64, passes=1, lanes=1)
PAIRS = "market_monitor.pairs"
LEAVING_S = 0.2


@dataclass
class Desk:
    """A client's home and its server, which signs as the real one does."""

    home: Path
    ca: ThrowawayCa = field(default_factory=ThrowawayCa)
    key: SigningKey = field(default_factory=SigningKey.generate)
    answers: list[SignedBundle] = field(default_factory=list[SignedBundle])
    pins: list[SignedPins] = field(default_factory=list[SignedPins])
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    settings: ConfigurationSettings = field(default_factory=ConfigurationSettings)

    @property
    def record(self) -> DeviceRecord:
        return DeviceRecord(
            tenant=IDENTITY.tenant, device=IDENTITY.device,
            server=ServerAddress(host="localhost", port=1), server_ca=self.ca.pem.decode(),
            server_keys=(),
        )  # fmt: skip

    def bundle(self, version: int, settings: dict[str, Scalar], **changes: Any) -> SignedBundle:
        content: dict[str, Any] = {
            "tenant": IDENTITY.tenant, "device": IDENTITY.device, "version": version,
            "made_ms": now_ms(CLOCK), "expires_ms": now_ms(CLOCK) + 60_000, "settings": settings,
        }  # fmt: skip
        vouched = self.ca.key.sign(key_message(self.key.public.raw))
        return sign_bundle(BundleContent(**{**content, **changes}), self.key, vouched)

    def ask(self, purpose: Any, path: str, content: dict[str, Any], answer: type[Any]) -> Any:
        del purpose, path
        assert answer is SignedBundle
        self.asked.append(content)
        return self.answers[-1]

    def take(self, pins: SignedPins) -> None:
        self.pins.append(pins)
        if pins.signature == "forged":
            raise pins_refused("it is not signed by the authority of this server")

    def protection(self, kind: ProtectionKind) -> Protection:
        assert kind is ProtectionKind.PASSPHRASE
        return PassphraseProtection(lambda: Secret("a passphrase of the desk"), CHEAP)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[tuple[ConfigKeeper, ConfigManager]]:
        """As after a start: nothing in memory."""
        config, metrics = ConfigManager.load(REMOTE_SECTIONS), Metrics()
        errors = ErrorHandler(
            clock=CLOCK, randomness=SystemRandomness(), metrics=metrics,
            resilience=ResilienceRegistry(),
        )  # fmt: skip
        keeper = ConfigKeeper(
            partial(BundleStore.opened, self.home, self.record, self.settings, self.protection),
            self.record, self, self.take, config, ask_every_s=300, clock=CLOCK,
            randomness=SystemRandomness(), errors=errors,
        )  # fmt: skip
        before = len(self.asked)
        async with TaskSet("desk") as tasks:
            tasks.start(keeper.run(), name="keeper")
            await eventually(lambda: len(self.asked) > before)
            await eventually(lambda: keeper.state is not ComponentState.STARTING)
            yield keeper, config


def pairs(config: ConfigManager) -> tuple[str, ...]:
    return config.get(MarketMonitorSettings).pairs


@pytest.fixture
def desk(home: Path) -> Desk:
    return Desk(home)


@async_test
async def test_what_the_server_says_is_used_at_once_and_after_a_restart(desk: Desk) -> None:
    desk.answers.append(desk.bundle(3, {PAIRS: ("XAUUSD",)}))
    async with desk.running() as (keeper, config):
        await eventually(lambda: pairs(config) == ("XAUUSD",))
        assert desk.asked[0] == {"version": 0, "digest": "", "problem": ""}
        desk.answers.append(desk.bundle(4, {PAIRS: "EURUSD,GBPUSD"}))
        keeper.look_now()
        await eventually(lambda: pairs(config) == ("EURUSD", "GBPUSD"))
        assert config.explain(PAIRS).source == "bundle 4"
        desk.answers.append(desk.bundle(5, {}))
        keeper.look_now()
        await eventually(lambda: len(pairs(config)) == 4)
        desk.answers.append(desk.bundle(6, {PAIRS: ("USDJPY",)}))
        keeper.look_now()
        await eventually(lambda: pairs(config) == ("USDJPY",))
        await eventually(lambda: desk.asked[-1]["version"] == 6)
    files = (desk.home / "configuration" / "bundle.sealed").read_bytes()
    assert b"USDJPY" not in files
    desk.answers.append(desk.bundle(6, {PAIRS: ("USDJPY",)}, expires_ms=1))
    async with desk.running() as (keeper, config):
        assert pairs(config) == ("USDJPY",)
        await eventually(lambda: "time is over" in keeper.problem)
        assert keeper.state is ComponentState.DEGRADED


Change = Callable[[Desk], SignedBundle]
GOOD: dict[str, Scalar] = {PAIRS: ("XAUUSD",)}
BAD: dict[str, tuple[Change, str]] = {
    "older": (lambda d: d.bundle(4, {PAIRS: ("USDJPY",)}), "older than 5"),
    "the same version, other settings": (lambda d: d.bundle(5, {PAIRS: ("USDJPY",)}), "other"),
    "over": (lambda d: d.bundle(9, GOOD, expires_ms=now_ms(CLOCK) - 1), "time is over"),
    "of another device": (lambda d: d.bundle(9, GOOD, device=UUID(int=77)), "signature"),
    "of another organisation": (lambda d: d.bundle(9, GOOD, tenant=UUID(int=77)), "signature"),
    "of another server": (lambda d: replace(d, ca=ThrowawayCa()).bundle(9, GOOD), "vouched"),
    "a key of nobody": (
        lambda d: msgspec.structs.replace(d.bundle(9, GOOD), key=Desk(d.home).bundle(9, GOOD).key),
        "vouched",
    ),
    "altered": (
        lambda d: msgspec.structs.replace(
            d.bundle(9, GOOD), content=d.bundle(9, GOOD).content.replace("XAU", "EUR")
        ),
        "signature",
    ),
    "sets what it may not": (
        lambda d: d.bundle(9, {**GOOD, "data_sources.news_url": "https://evil.example"}),
        "no such setting",
    ),
    "half of it is wrong": (
        lambda d: d.bundle(9, {PAIRS: ("EURUSD",), "data_collector.interval_s": 0}),
        "interval_s",
    ),
    "rules nobody understands": (
        lambda d: d.bundle(9, {"market_monitor.thresholds": "EURUSD spread>"}),
        "thresholds",
    ),
}


@pytest.mark.parametrize(("make", "words"), BAD.values(), ids=BAD)
@async_test
async def test_the_last_good_one_stays_when_the_next_is_bad(
    desk: Desk, make: Change, words: str
) -> None:
    desk.answers.append(desk.bundle(5, {PAIRS: ("XAUUSD",)}))
    async with desk.running() as (keeper, config):
        await eventually(lambda: pairs(config) == ("XAUUSD",))
        before = config.explain_all()
        desk.answers.append(make(desk))
        keeper.look_now()
        await eventually(lambda: words in keeper.problem)
        assert keeper.state is ComponentState.DEGRADED
        assert config.explain_all() == before
        await eventually(lambda: words in desk.asked[-1]["problem"])
        assert desk.asked[-1]["version"] == 5
    async with desk.running() as (keeper, config):
        assert pairs(config) == ("XAUUSD",), "also after a restart"


@async_test
async def test_what_cannot_be_kept_is_not_used(desk: Desk) -> None:
    """Neither the first one nor a later one, and the disk holds no more than the memory does."""
    file, seen = (
        desk.home / "configuration/bundle.sealed",
        desk.home / "identity/configuration.seen",
    )

    def nothing_can_be_written() -> bool:
        """A file may be written again between the two steps: it says once more what it uses."""
        seen.unlink(missing_ok=True)
        seen.mkdir(parents=True)
        return True

    await eventually(nothing_can_be_written)
    desk.answers.append(desk.bundle(1, {PAIRS: ("XAUUSD",)}))
    async with desk.running() as (keeper, config):
        await eventually(lambda: keeper.problem.startswith("[Errno"))  # of writing, not of reading
        assert keeper.in_use is None
        assert len(pairs(config)) == 4
        await eventually(lambda: not file.exists(), what="what a try took back")
        seen.rmdir()
        keeper.look_now()
        await eventually(lambda: keeper.state is ComponentState.HEALTHY)
        await eventually(lambda: desk.asked[-1]["version"] == 1)
        await eventually(nothing_can_be_written)
        desk.answers.append(desk.bundle(2, {PAIRS: ("USDJPY",)}))
        asked = len(desk.asked)
        keeper.look_now()
        await eventually(lambda: len(desk.asked) > asked + 1)  # the first may have begun before
        await eventually(lambda: "directory" in keeper.problem)
        assert keeper.in_use is not None
        assert (keeper.in_use.version, pairs(config)) == (1, ("XAUUSD",))
        assert keeper.statistics()["highest_version"] == 1
    store = BundleStore.opened(desk.home, desk.record, desk.settings, desk.protection)
    assert store.bundle() == desk.answers[0]


@async_test
async def test_who_stops_while_it_is_written_waits_for_the_disk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end, written, keep = Event(), Event(), Event(), BundleStore.keep

    def slowly(store: BundleStore, bundle: SignedBundle, seen: Seen) -> None:
        begun.set()
        may_end.wait()
        keep(store, bundle, seen)
        written.set()

    desk.answers.append(desk.bundle(1, {PAIRS: ("XAUUSD",)}))
    async with desk.running() as (keeper, _):
        await eventually(lambda: keeper.in_use is not None)
        monkeypatch.setattr(BundleStore, "keep", slowly)
        desk.answers.append(desk.bundle(2, {PAIRS: ("USDJPY",)}))
        keeper.look_now()
        await eventually(begun.is_set)
        asyncio.get_running_loop().call_later(LEAVING_S, may_end.set)
    assert written.is_set()


@async_test
async def test_an_older_copy_of_the_file_is_refused(desk: Desk) -> None:
    file = desk.home / "configuration" / "bundle.sealed"
    desk.answers.append(desk.bundle(1, {PAIRS: ("USDJPY",)}))
    async with desk.running() as (keeper, config):
        await eventually(file.exists)
        await eventually(lambda: keeper.in_use is not None)
        old = file.read_bytes()
        desk.answers.append(desk.bundle(2, {PAIRS: ("XAUUSD",)}))
        keeper.look_now()
        await eventually(lambda: keeper.in_use is not None and keeper.in_use.version == 2)
        await eventually(lambda: file.read_bytes() != old)
    file.write_bytes(old)
    desk.answers.append(desk.bundle(1, {PAIRS: ("USDJPY",)}))
    async with desk.running() as (keeper, config):
        await eventually(lambda: "older than 2" in keeper.problem)
        assert len(pairs(config)) == 4, "its own settings, not the older ones"
        desk.answers.append(desk.bundle(3, {PAIRS: ("XAUUSD",)}))
        keeper.look_now()
        await eventually(lambda: pairs(config) == ("XAUUSD",))


@pytest.mark.parametrize("place", ["configuration/bundle.sealed", "identity/configuration.seen"])
@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "of the other"])
@async_test
async def test_a_damaged_file_stops_nobody(desk: Desk, place: str, damage: str) -> None:
    desk.answers.append(desk.bundle(1, {PAIRS: ("USDJPY",)}))
    async with desk.running() as (keeper, _):
        await eventually(lambda: keeper.in_use is not None)
        await eventually((desk.home / "identity" / "configuration.seen").exists)
    path = desk.home / place
    data = path.read_bytes()
    others = {"configuration/bundle.sealed", "identity/configuration.seen"} - {place}
    path.write_bytes(
        {
            "flipped": data[:-1] + bytes([data[-1] ^ 1]),
            "cut": data[: len(data) // 2],
            "empty": b"",
            "of the other": (desk.home / others.pop()).read_bytes(),
        }[damage]
    )
    desk.answers.append(desk.bundle(2, {PAIRS: ("XAUUSD",)}))
    async with desk.running() as (keeper, config):
        await eventually(lambda: pairs(config) == ("XAUUSD",))
        await eventually(lambda: keeper.state is ComponentState.HEALTHY)


@async_test
async def test_a_passphrase_keeps_the_key_and_the_file_key_does_not_open_it(desk: Desk) -> None:
    desk.settings = ConfigurationSettings(protect="passphrase")
    desk.answers.append(desk.bundle(1, {PAIRS: ("USDJPY",)}))
    async with desk.running() as (keeper, _):
        await eventually(lambda: keeper.in_use is not None)
        await eventually((desk.home / "identity" / "configuration.seen").exists)
    async with desk.running() as (_, config):
        assert pairs(config) == ("USDJPY",)
    desk.settings = ConfigurationSettings()
    desk.answers.append(desk.bundle(2, {}, expires_ms=1))
    async with desk.running() as (keeper, config):
        assert keeper.in_use is None
        assert len(pairs(config)) == 4


@async_test
async def test_the_keys_of_the_server_travel_with_the_bundle(desk: Desk) -> None:
    """A set that is refused is told, and stands in the way of nothing that is in use."""
    pins = SignedPins(content="x", signature="forged")
    desk.answers.append(msgspec.structs.replace(desk.bundle(1, {}), pins=pins))
    async with desk.running() as (keeper, _):
        await eventually(lambda: pins in desk.pins)
        await eventually(lambda: "not signed" in keeper.problem)
        assert keeper.in_use is not None
        assert keeper.in_use.version == 1

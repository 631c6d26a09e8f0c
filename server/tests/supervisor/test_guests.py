"""Admitted services: who they are after a restart, what they may do, and what a dismissal takes."""

import asyncio
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from typing_extensions import override

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.core.testing.async_test import async_test
from aitrading.server.authority.installation import initialise
from aitrading.server.engines.nats import SubjectRights
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.engines.process import Launch
from aitrading.server.kit.admitted_services import ADMITTED_FILE
from aitrading.server.kit.bundle import ClickHouseAccess, NatsAccess
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.bundles import BundleWriter, Installation, Stores
from aitrading.server.supervisor.errors import IDENTITIES_FAILED
from aitrading.server.supervisor.guest_journal import JOURNAL_FILE, GuestJournal
from aitrading.server.supervisor.guests import Doors, Guests
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.identities import Identities


def test_without_a_file_nobody_was_admitted(tmp_path: Path) -> None:
    assert Guests(tmp_path / "guests.json").names == ()


@pytest.mark.parametrize("content", [b"", b"{", b'[{"name": 7, "port": 0}]', b"\xff"])
def test_a_damaged_file_is_said_and_not_taken_for_nobody(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "guests.json"
    path.write_bytes(content)
    with pytest.raises(AitradingError, match="SERVICES_FILE_DAMAGED"):
        Guests(path)


class House:
    """What admitting touches, with a real authority in place of the process that runs it."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.home.bundles.mkdir(mode=0o700, parents=True)
        (root / "keys").mkdir(mode=0o700)
        clock = SystemClock()
        self.ids = SystemIdFactory(clock, SystemRandomness())
        self.authority = initialise(root, clock, self.ids)
        self.passwords = PasswordStore(root / "passwords", SystemRandomness())
        self.users: dict[str, SubjectRights] = {}
        self.written: list[set[str]] = []
        self.withdrawal_fails = False
        self.journal = GuestJournal(root / JOURNAL_FILE, clock, self.ids)
        self.guests = Guests(root / ADMITTED_FILE)
        self.guests.open(
            Doors(
                issue=self._issue,
                withdraw=self._withdraw,
                forget_login=partial(self.passwords.forget, "nats"),
                bundles=self._bundles(),
                journal=self.journal,
                bus_users=self.users,
                write_bus=self._write_bus,
            )
        )

    @property
    def published(self) -> list[str]:
        """Whose token keys count."""
        keys = json.loads(self.authority.service_keys_file.read_bytes())["keys"]
        return [key["kid"] for key in keys]

    def files_of(self, name: str) -> list[Path]:
        """What is left of a service on the disk."""
        return [path for path in self.home.root.rglob(f"*{name}*") if path.is_file()]

    def _nats(self, user: str) -> NatsAccess:
        password = self.passwords.get("nats", user).reveal()
        return NatsAccess(url="tls://127.0.0.1:1", user=user, password=password)

    def _bundles(self) -> BundleWriter:
        def unused(_: str) -> Any:
            raise AssertionError("a guest has the bus, and no other store")

        return BundleWriter(
            Installation(
                home=self.home,
                version="1",
                environment="development",
                demo=False,
                ports={},
                settings={},
            ),
            Stores(
                postgres=unused,
                valkey=unused,
                nats=self._nats,
                clickhouse=ClickHouseAccess(),
                vectors=None,
                graph=None,
            ),
            self.ids,
        )

    async def _issue(self, names: tuple[str, ...]) -> None:
        for name in names:
            self.authority.write_service(name, self.home.bundles)

    async def _withdraw(self, names: tuple[str, ...]) -> None:
        if self.withdrawal_fails:
            raise IDENTITIES_FAILED.error(detail="x")
        for name in names:
            self.authority.withdraw_service(name)

    async def _write_bus(self) -> None:
        self.written.append(set(self.users))


@async_test
async def test_a_dismissal_leaves_nothing_that_made_it_somebody(tmp_path: Path) -> None:
    house = House(tmp_path)
    for name in ("news", "other"):
        await house.guests.admit({"name": name, "port": 0})
    first = house.passwords.get("nats", "news").reveal()
    socket = house.home.run / "news.sock"
    socket.touch()  # it runs, and goes on running
    await house.guests.dismiss({"name": "news"})
    assert house.written[-1] == {"other"}
    assert house.published == ["other"]
    assert not house.files_of("news")
    assert Guests(tmp_path / ADMITTED_FILE).names == ("other",)
    await house.guests.admit({"name": "news", "port": 0})
    assert house.passwords.get("nats", "news").reveal() != first


@async_test
async def test_a_dismissal_that_failed_can_be_repeated(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.guests.admit({"name": "news", "port": 0})
    house.withdrawal_fails = True
    with pytest.raises(AitradingError, match="IDENTITIES_FAILED"):
        await house.guests.dismiss({"name": "news"})
    assert Guests(tmp_path / ADMITTED_FILE).names == ("news",)
    house.withdrawal_fails = False
    await house.guests.dismiss({"name": "news"})
    with pytest.raises(AitradingError, match="SERVICE_UNKNOWN"):
        await house.guests.dismiss({"name": "news"})


@async_test
async def test_identities_are_issued_one_after_the_other(tmp_path: Path) -> None:
    class SlowBirths(Births):
        def __init__(self) -> None:
            super().__init__(None)
            self.running = self.most = 0

        @override
        async def run_to_end(self, launch: Launch, *, timeout_s: float) -> tuple[int, str]:
            self.running += 1
            self.most = max(self.most, self.running)
            await asyncio.sleep(0)
            self.running -= 1
            return 0, ""

    births = SlowBirths()
    identities = Identities(Home(tmp_path), "development", births)
    async with asyncio.TaskGroup() as start:
        waiting = start.create_task(identities.wait())
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(identities.issue(("a",)))
            tasks.create_task(identities.renew(("b",)))
            tasks.create_task(identities.withdraw(("c",)))
        assert births.most == 1
        assert not waiting.done(), "an admission is not the start's own issue"
        await identities.issue_first(("d",))


@async_test
async def test_each_change_is_told_until_the_trail_has_it(tmp_path: Path) -> None:
    house = House(tmp_path)
    await house.guests.admit({"name": "news", "port": 0})
    await house.guests.dismiss({"name": "news"})
    taken: list[dict[str, Any]] = []

    async def refuse(_: Mapping[str, Any]) -> None:
        raise IDENTITIES_FAILED.error(detail="away")

    async def take(call: Mapping[str, Any]) -> None:
        taken.append(call["body"])
        if len(taken) == 2:
            raise IDENTITIES_FAILED.error(detail="away again")

    again = GuestJournal(tmp_path / JOURNAL_FILE, SystemClock(), house.ids)
    for call, left in ((refuse, 2), (take, 1)):
        with pytest.raises(AitradingError):
            await again.tell(call)
        assert len(again.waiting) == left
    again = GuestJournal(tmp_path / JOURNAL_FILE, SystemClock(), house.ids)
    await again.tell(take)
    assert not again.waiting
    assert [(each["service"], each["admitted"]) for each in taken] == [
        ("news", True), ("news", False), ("news", False),
    ]  # fmt: skip
    assert taken[1] == taken[2]  # under its id it is audited once


@async_test
async def test_what_cannot_be_noted_is_not_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(tmp_path)
    monkeypatch.setattr("aitrading.server.supervisor.guest_journal.MAX_NOTES", 1)
    await house.guests.admit({"name": "news", "port": 0})
    with pytest.raises(AitradingError, match="SERVICE_CHANGES_FULL"):
        await house.guests.admit({"name": "other", "port": 0})
    assert house.guests.names == ("news",)
    (tmp_path / JOURNAL_FILE).write_bytes(b"[{")
    with pytest.raises(AitradingError, match="SERVICE_CHANGES_DAMAGED"):
        GuestJournal(tmp_path / JOURNAL_FILE, SystemClock(), house.ids)

"""The real client against the real bridge: every tick stored once, whatever happens between."""

from typing import Any

import pytest
from tests.link.edge import Edge
from tests.link.enrolled import enrolled_home

from aitrading.client.held_back import held_finding
from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.service import SECTIONS, RunningClient, Surroundings, running_client
from aitrading.client.terminal.select import TerminalKind
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.infrastructure.events import SubscriptionChanged
from aitrading.core.protocol.error_codes import LINK_SUBSCRIPTION_INACTIVE
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.data_bridge import rights
from aitrading.server.kit.peer_errors import PEER_UNREACHABLE
from aitrading.server.testing.bridge import running_bridge
from aitrading.server.testing.services import ServiceWorld

LAPSED = LINK_SUBSCRIPTION_INACTIVE.code
SURROUNDINGS = Surroundings.of_machine()


def config(**settings: str) -> ConfigManager:
    overrides = {"connector.probe_port": "0", "terminal_sim.ticks_per_s": "200"}
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return ConfigManager.load(SECTIONS, overrides=overrides | named)


@async_test
async def test_ticks_of_the_simulated_terminal_reach_the_store(world: ServiceWorld) -> None:
    async with (
        running_bridge(world) as bridge,
        Edge(world.authority, bridge.socket, world.home) as edge,
    ):
        home = world.home / "client"
        record = enrolled_home(home, world.authority, edge.port)
        bridge.devices.add(record.identity)
        async with running_client(home, TerminalKind.SIM, config(), SURROUNDINGS) as client:
            await eventually(lambda: sum(map(len, bridge.store.rows().values())) > 1_000)
            assert client.health.ready()
            assert len(bridge.store.rows()) == 4
            health = bridge.chains.health("market-data")
            assert [hop.count > 0 for hop in health.hops[:5]] == [True] * 5
        assert ConnectorSettings.SECTION == "connector"


@async_test
async def test_while_identity_is_silent_the_ticks_are_kept_here(
    world: ServiceWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rights, "UNCHECKED_NS", 1)
    async with (
        running_bridge(world, settings={"bridge.device_recheck_s": "1"}) as bridge,
        Edge(world.authority, bridge.socket, world.home) as edge,
    ):
        home = world.home / "client"
        record = enrolled_home(home, world.authority, edge.port)
        bridge.devices.add(record.identity)
        async with running_client(home, TerminalKind.SIM, config(), SURROUNDINGS) as client:
            stored = bridge.store.rows
            await eventually(lambda: sum(map(len, stored().values())) > 200)
            bridge.devices.failure = PEER_UNREACHABLE.error(peer="api-gateway", reason="test")
            await eventually(lambda: fields_of(client, "uplink")["held"] == "LINK_UNCHECKED")
            await eventually(lambda: fields_of(client, "uplink")["pending_ticks"] > 300)
            assert fields_of(client, "link")["link"] == "CONNECTED"
            bridge.devices.failure = None
            await eventually(lambda: fields_of(client, "uplink")["held"] is None)
            before = sum(map(len, stored().values()))
            await eventually(lambda: sum(map(len, stored().values())) > before + 500)
            assert fields_of(client, "journal")["gaps"] == 0
        for rows in stored().values():
            assert sorted(rows) == list(range(1, len(rows) + 1))
        assert bridge.store.copies() == 0


@async_test
async def test_a_lapsed_plan_keeps_the_ticks_here_until_it_is_renewed(world: ServiceWorld) -> None:
    changed = SubscriptionChanged(user=None, version=2)
    async with (
        running_bridge(world) as bridge,
        Edge(world.authority, bridge.socket, world.home) as edge,
    ):
        home = world.home / "client"
        record = enrolled_home(home, world.authority, edge.port)
        bridge.devices.add(record.identity, subscription="active")
        async with running_client(home, TerminalKind.SIM, config(), SURROUNDINGS) as client:
            stored = bridge.store.rows
            await eventually(lambda: sum(map(len, stored().values())) > 200)
            bridge.devices.add(record.identity, subscription="expired")
            await bridge.bus.publish(changed, tenant=record.identity.tenant)
            await eventually(lambda: fields_of(client, "uplink")["held"] == LAPSED)
            await eventually(lambda: fields_of(client, "uplink")["pending_ticks"] > 300)
            told = held_finding(client.health.report())
            assert told is not None
            assert "kept here" in told.found
            link = fields_of(client, "link")
            assert (link["link"], link["connections"]) == ("CONNECTED", 1)
            bridge.devices.add(record.identity, subscription="active")
            await bridge.bus.publish(changed, tenant=record.identity.tenant)
            await eventually(lambda: fields_of(client, "uplink")["held"] is None)
            assert held_finding(client.health.report()) is None
            before = sum(map(len, stored().values()))
            await eventually(lambda: sum(map(len, stored().values())) > before + 500)
            assert fields_of(client, "journal")["gaps"] == 0
        for rows in stored().values():
            assert sorted(rows) == list(range(1, len(rows) + 1))
        assert bridge.store.copies() == 0


def fields_of(client: RunningClient, name: str) -> dict[str, Any]:
    return dict(client.health.report()["components"][name]["fields"])

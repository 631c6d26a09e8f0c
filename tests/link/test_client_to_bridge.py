"""The real client against the real bridge: every tick stored once, whatever happens between."""

from tests.link.edge import Edge
from tests.link.enrolled import enrolled_home

from aitrading.client.metatrader_connector.settings import ConnectorSettings
from aitrading.client.service import SECTIONS, Surroundings, running_client
from aitrading.client.terminal.select import TerminalKind
from aitrading.core.infrastructure.config_manager import ConfigManager
from aitrading.core.testing.async_test import async_test
from aitrading.core.testing.eventually import eventually
from aitrading.server.testing.bridge import running_bridge
from aitrading.server.testing.services import ServiceWorld

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

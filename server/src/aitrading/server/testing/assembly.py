"""A platform put together as the supervisor does, and not started."""

from collections.abc import Mapping

from aitrading.core.kit.clock import SystemClock
from aitrading.core.kit.ids import SystemIdFactory
from aitrading.core.kit.randomness import SystemRandomness
from aitrading.server.supervisor.assembly import Assembly, Choices, EdgePlace, Kit, assemble
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.bundles import SERVICE_NAMES
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.stores import given_servers


def real_kit() -> Kit:
    """The machine's clock and randomness."""
    clock, randomness = SystemClock(), SystemRandomness()
    return Kit(clock=clock, randomness=randomness, ids=SystemIdFactory(clock, randomness))


def assembled(home: Home, environ: Mapping[str, str]) -> Assembly:
    """With the servers that the environment names; every other engine is embedded."""
    home.create()
    home.prepare()
    choices = Choices(
        home=home,
        environment="development",
        demo=False,
        nursery=False,
        ports={name: number for number, name in enumerate((*SERVICE_NAMES, "nats"), start=1)},
        edge=EdgePlace(host="127.0.0.1", port=9, name="localhost", workers=1),
        settings={},
        servers=given_servers(environ),
    )
    return assemble(choices, real_kit(), Births(None))

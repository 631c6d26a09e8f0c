"""The composition root of `aitrading up`: from settings to a plan of children."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import IdFactory
from aitrading.core.kit.randomness import Randomness
from aitrading.core.security.db_security_manager import Store
from aitrading.server.engines.any_answer import ENVOY_GREETING, AnyAnswer
from aitrading.server.engines.envoy import ADMIN_SOCKET, EnvoyEngine, EnvoySetup
from aitrading.server.engines.passwords import PasswordStore
from aitrading.server.kit.admitted_services import ADMITTED_FILE
from aitrading.server.kit.store_settings import StoreSettings
from aitrading.server.supervisor.births import Births
from aitrading.server.supervisor.bundles import (
    ADMIN,
    SERVICE_NAMES,
    SERVICES,
    BundleWriter,
    Installation,
    ServiceNeeds,
    service_socket,
)
from aitrading.server.supervisor.choices import CLIENT, NATS
from aitrading.server.supervisor.demo.program import NAME as DEMO_CLIENT
from aitrading.server.supervisor.demo.program import DemoProgram, DemoSetup
from aitrading.server.supervisor.demo.report import DemoReport
from aitrading.server.supervisor.guest_journal import JOURNAL_FILE, GuestJournal
from aitrading.server.supervisor.guests import Doors, Guests
from aitrading.server.supervisor.home import Home
from aitrading.server.supervisor.identities import Identities
from aitrading.server.supervisor.plan import ChildSpec, Kind, Plan
from aitrading.server.supervisor.services import ISOLATED_PYTHON, ServiceProgram
from aitrading.server.supervisor.settings import BackupSettings
from aitrading.server.supervisor.stores import GivenServer, StorePlan

EDGE_PROBE_PATH = "/health/live"
_IDENTITIES = (*SERVICE_NAMES, "nats", ADMIN)


@dataclass(frozen=True, kw_only=True)
class Kit:
    """The three things no part of the platform makes for itself."""

    clock: Clock
    randomness: Randomness
    ids: IdFactory


@dataclass(frozen=True, kw_only=True)
class EdgePlace:
    """Where the front door is."""

    host: str
    port: int
    name: str
    workers: int

    @property
    def url(self) -> str:
        """What a person types into a browser."""
        return f"https://{self.name}:{self.port}"


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What was decided before anything is put together."""

    home: Home
    environment: str
    demo: bool
    nursery: bool
    ports: Mapping[str, int]
    """By name of the service, and `nats`."""
    edge: EdgePlace
    settings: Mapping[str, str]
    backup: BackupSettings = field(default_factory=BackupSettings)
    servers: Mapping[Store, GivenServer] = field(default_factory=dict[Store, GivenServer])
    """Servers given by URL; the engine each replaces is not started."""
    stores: StoreSettings = field(default_factory=StoreSettings)
    interpreter: tuple[str, ...] = ISOLATED_PYTHON
    """How services are run; a benchmark loads everything first to see what that costs."""


def _no_demo() -> DemoReport | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Assembly:
    """Everything one start consists of."""

    plan: Plan
    issue_identities: Callable[[], Awaitable[None]]
    """Writes certificates and keys of every child; runs while the first children start."""
    renew_identities: Callable[[], Awaitable[None]]
    """Writes the next certificates, long before the present ones end."""
    guests: Guests
    """Services of the operator's own."""
    journal: GuestJournal | None = None
    """Changes of them that are not audited yet."""
    fingerprint: Callable[[], str | None]
    """Of the edge's certificate authority, once there is one."""
    demo: Callable[[], DemoReport | None] = _no_demo
    """What seeding the demo did, once it is done."""


def assemble(choices: Choices, kit: Kit, births: Births) -> Assembly:
    """Put engines and services together; raises for a dependency that cannot be met."""
    home = choices.home
    identities = Identities(home, choices.environment, births)
    passwords = PasswordStore(home.passwords, kit.randomness)
    guests = Guests(home.root / ADMITTED_FILE)
    journal = GuestJournal(home.root / JOURNAL_FILE, kit.clock, kit.ids)
    stores = StorePlan(
        home, passwords, identities, choices.servers, choices.stores, guests=guests.rights
    )
    keeping = stores.keeping(choices.ports[NATS])
    bundles = BundleWriter(_installation(choices), keeping.access, kit.ids)
    present = {*SERVICE_NAMES, *(engine.name for engine in keeping.engines)}
    demo_reports: list[DemoReport] = []
    plan = Plan(
        [
            *keeping.engines,
            *(_service(needs, choices, bundles, identities, present) for needs in SERVICES),
            _edge(choices),
            *([_demo_client(choices, births, demo_reports.append)] if choices.demo else []),
        ]
    )

    async def write_bus() -> None:
        if keeping.bus is not None:
            await keeping.bus.prepare()

    guests.open(
        Doors(
            issue=identities.issue,
            withdraw=identities.withdraw,
            forget_login=partial(passwords.forget, NATS),
            bundles=bundles,
            journal=journal,
            bus_users=keeping.bus_users,
            write_bus=write_bus,
        )
    )

    async def issue_identities() -> None:
        await identities.issue_first((*_IDENTITIES, *guests.names))
        bundles.write_admin()
        guests.write_bundles()

    async def renew_identities() -> None:
        await identities.renew((*_IDENTITIES, *guests.names))

    return Assembly(
        plan=plan,
        issue_identities=issue_identities,
        renew_identities=renew_identities,
        guests=guests,
        journal=journal,
        fingerprint=identities.edge_fingerprint,
        demo=lambda: demo_reports[-1] if demo_reports else None,
    )


def _installation(choices: Choices) -> Installation:
    return Installation(
        home=choices.home,
        version=version("aitrading-server"),
        environment=choices.environment,
        demo=choices.demo,
        ports={name: choices.ports[name] for name in SERVICE_NAMES},
        settings=choices.settings,
    )


def _edge(choices: Choices) -> ChildSpec:
    return ChildSpec(
        name="envoy",
        kind=Kind.ENGINE,
        program=_envoy(choices),
        alive=AnyAnswer(greeting=ENVOY_GREETING, socket=choices.home.run / ADMIN_SOCKET),
        port=choices.edge.port,
        depends_on=("api-gateway",),
    )


def _envoy(choices: Choices) -> EnvoyEngine:
    home, edge = choices.home, choices.edge
    return EnvoyEngine(
        EnvoySetup(
            run_folder=home.run,
            xds_folder=home.envoy / "xds",
            host=edge.host,
            port=edge.port,
            server_name=edge.name,
            probe_path=EDGE_PROBE_PATH,
            edge_ca=home.trust / "edge-ca.pem",
            workers=edge.workers,
        )
    )


def _service(
    needs: ServiceNeeds,
    choices: Choices,
    bundles: BundleWriter,
    identities: Identities,
    present: set[str],
) -> ChildSpec:
    home = choices.home
    program = ServiceProgram(
        needs,
        home=home,
        socket=service_socket(home, needs.name),
        bundles=bundles,
        interpreter=choices.interpreter,
    )
    return ChildSpec(
        name=needs.name,
        kind=Kind.SERVICE,
        program=program,
        alive=program.alive,
        told=program.told,
        depends_on=tuple(name for name in needs.depends_on if name in present),
        starts_early=True,
        gate=identities.wait,
        port=choices.ports[needs.name],
    )


def _demo_client(
    choices: Choices, births: Births, seeded: Callable[[DemoReport], None]
) -> ChildSpec:
    port = choices.ports[CLIENT]
    setup = DemoSetup(home=choices.home, url=choices.edge.url, port=port)
    program = DemoProgram(setup, births, seeded)
    # Without `alive`: who learns what a terminal that hangs looks like stops it for minutes.
    return ChildSpec(
        name=DEMO_CLIENT,
        kind=Kind.CLIENT,
        program=program,
        told=program.told,
        depends_on=("envoy", "data-bridge"),
        port=port,
    )

"""The chains this platform promises to keep, by name."""

from typing import Final

from aitrading.core.infrastructure.chain_registry import ChainDefinition, Hop, HopKind

MARKET_DATA: Final = "market-data"
TERMINAL_CONNECTOR: Final = "terminal-connector"
CONNECTOR_LINK: Final = "connector-link"
LINK_BRIDGE: Final = "link-bridge"
BRIDGE_SPOOL: Final = "bridge-spool"
SPOOL_DATABASE: Final = "spool-database"
DATABASE_CLICKHOUSE: Final = "database-clickhouse"
BRIDGE_SUBSCRIBER: Final = "bridge-subscriber"

MARKET_DATA_CHAIN: Final = ChainDefinition(
    name=MARKET_DATA,
    description="A tick from the terminal to the disk of the server and to its subscribers.",
    hops=(
        Hop(name=TERMINAL_CONNECTOR, service="client", kind=HopKind.CALL, budget_ms=1_000),
        Hop(name=CONNECTOR_LINK, service="client", kind=HopKind.LINK, budget_ms=250),
        Hop(
            name=LINK_BRIDGE,
            service="data-bridge",
            kind=HopKind.LINK,
            budget_ms=250,
            needs=("envoy",),
        ),
        Hop(name=BRIDGE_SPOOL, service="data-bridge", kind=HopKind.DISK, budget_ms=250),
        Hop(
            name=SPOOL_DATABASE,
            service="data-bridge",
            kind=HopKind.HTTP,
            budget_ms=5_000,
            needs=("database-service",),
        ),
        Hop(
            name=DATABASE_CLICKHOUSE,
            service="database-service",
            kind=HopKind.DATABASE,
            budget_ms=2_000,
            needs=("postgres", "clickhouse"),
        ),
        Hop(
            name=BRIDGE_SUBSCRIBER,
            service="data-bridge",
            kind=HopKind.FAN_OUT,
            budget_ms=100,
            optional=True,
            needs=("envoy",),
            after=(LINK_BRIDGE,),
        ),
    ),
)
ALL_CHAINS: Final = (MARKET_DATA_CHAIN,)

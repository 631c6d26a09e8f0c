"""What an operator may decide about the whole platform."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting

PORT_MAX = 65_535


@dataclass(frozen=True, kw_only=True)
class PlatformSettings:
    """The installation as such."""

    SECTION: ClassVar[str] = "platform"

    environment: Annotated[
        str,
        Setting(
            doc="`development` keeps keys in files; `production` refuses that.",
            choices=("development", "production"),
            env="AITRADING_ENV",
        ),
    ] = "development"
    nursery: Annotated[
        bool,
        Setting(
            doc="Fork services from one process that has loaded what they share: a faster start "
            "and less memory. Off: each service is a process of its own from the beginning.",
        ),
    ] = True
    envoy_workers: Annotated[
        int, Setting(doc="Threads that serve connections at the edge.", minimum=1, maximum=256)
    ] = 2


@dataclass(frozen=True, kw_only=True)
class BackupSettings:
    """Backups by the clock."""

    SECTION: ClassVar[str] = "backup"

    every_h: Annotated[
        int,
        Setting(
            doc="Hours between two backups; 0 makes none by itself. Not with `POSTGRES_URL` or `CLICKHOUSE_URL`.",
            minimum=0,
            maximum=744,
        ),
    ] = 0
    folder: Annotated[
        str, Setting(doc="Where they go; best a disk of another machine. Needed with `every_h`.")
    ] = ""
    keep: Annotated[
        int,
        Setting(
            doc="How many stay in the folder; older ones are removed.", minimum=1, maximum=1000
        ),
    ] = 7
    recovery_key: Annotated[
        str,
        Setting(
            doc="File with the public recovery key they are sealed to (`aitrading backup new-key`). "
            "Needed with `every_h`."
        ),
    ] = ""


@dataclass(frozen=True, kw_only=True)
class PortSettings:
    """TCP ports; 0 takes a free one."""

    SECTION: ClassVar[str] = "ports"

    data_bridge: Annotated[
        int, Setting(doc="The bridge, for other services.", minimum=0, maximum=PORT_MAX)
    ] = 8001
    api_gateway: Annotated[
        int, Setting(doc="The api-gateway, for other services.", minimum=0, maximum=PORT_MAX)
    ] = 8002
    trading_engine: Annotated[
        int, Setting(doc="The trading engine, for other services.", minimum=0, maximum=PORT_MAX)
    ] = 8007
    database_service: Annotated[
        int, Setting(doc="The database service, for other services.", minimum=0, maximum=PORT_MAX)
    ] = 8008
    nats: Annotated[
        int, Setting(doc="The message bus, for services.", minimum=0, maximum=PORT_MAX)
    ] = 4222
    client: Annotated[
        int, Setting(doc="Health of the demo client.", minimum=0, maximum=PORT_MAX)
    ] = 9001

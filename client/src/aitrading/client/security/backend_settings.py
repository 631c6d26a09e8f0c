"""The server a client belongs to, as its settings name it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.client.security.device_files import DeviceRecord
from aitrading.client.security.enrolment import parse_server
from aitrading.client.security.errors import BACKEND_OTHER_SERVER
from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class BackendSettings:
    """Which server this client is for; whom to trust is decided by its enrolment alone."""

    SECTION: ClassVar[str] = "backend"

    url: Annotated[
        str,
        Setting(
            doc="Address of the server, `https://HOST:PORT`. `enroll` takes it when `--server` is left out; "
            "a client that is enrolled at another server does not start. Empty: wherever it is "
            "enrolled.",
            env="BACKEND_URL",
        ),
    ] = ""


def require_enrolled_at(settings: BackendSettings, record: DeviceRecord) -> None:
    """Raises `BACKEND_OTHER_SERVER`, or what is wrong with the address."""
    if settings.url and parse_server(settings.url) != record.server:
        raise BACKEND_OTHER_SERVER.error(url=settings.url, enrolled=record.server.url)

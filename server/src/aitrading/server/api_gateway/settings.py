"""What an operator may decide about the edge and the api-gateway."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting

PORT_MAX = 65_535


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """The edge: where people, programs and devices come in."""

    SECTION: ClassVar[str] = "gateway"

    address: Annotated[
        str,
        Setting(
            doc="Network address the edge listens on; 0.0.0.0 opens it to other machines.",
        ),
    ] = "127.0.0.1"
    port: Annotated[
        int,
        Setting(
            doc="The one public port; 0 takes a free one.",
            minimum=0,
            maximum=PORT_MAX,
        ),
    ] = 8000
    hosts: Annotated[
        tuple[str, ...],
        Setting(
            doc="Names the edge answers to, the first one in links. Devices use `link.` before a "
            "name. A request for any other name is refused.",
        ),
    ] = ("localhost", "127.0.0.1", "[::1]")
    login_burst: Annotated[
        int,
        Setting(
            doc="Logins and enrolments that one network address may try at once.",
            minimum=1,
            maximum=10_000,
        ),
    ] = 30
    logins_per_minute: Annotated[
        int,
        Setting(
            doc="Logins and enrolments that one network address may try in the long run.",
            minimum=1,
            maximum=100_000,
        ),
    ] = 60
    requests_burst: Annotated[
        int,
        Setting(
            doc="Requests that one network address may send at once; the edge's coarse limit in "
            "front of the exact ones of section `limits`.",
            minimum=10,
            maximum=1_000_000,
        ),
    ] = 2_000
    requests_per_minute: Annotated[
        int,
        Setting(
            doc="Requests that one network address may send in the long run.",
            minimum=60,
            maximum=100_000_000,
        ),
    ] = 60_000
    cors_origins: Annotated[
        tuple[str, ...],
        Setting(
            doc="Other sites whose scripts may call the API with a bearer token, each exactly as "
            "the browser names it: `https://app.example`. Cookies are never accepted from them.",
        ),
    ] = ()
    silent_stream_s: Annotated[
        int,
        Setting(
            doc="A WebSocket without a single byte for this long is closed.",
            unit="s",
            minimum=20,
            maximum=3_600,
        ),
    ] = 90
    health_period_ms: Annotated[
        int,
        Setting(
            doc="How often the api-gateway asks every service how it is.",
            unit="ms",
            minimum=200,
            maximum=60_000,
        ),
    ] = 1_000

"""How often somebody may ask and how much hold, where an installation differs from the reviewed table."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from aitrading.core.infrastructure.config_manager import Setting

MAX_PER_MINUTE: Final = 10**7
HELD_MAX: Final = 100_000
WHOLE_PER_CENT: Final = 100


def _rate(doc: str) -> Setting:
    return Setting(
        doc=f"{doc}, at once or in a minute; 0 is what the tier allows (`security/limits.toml`).",
        minimum=0,
        maximum=MAX_PER_MINUTE,
        tenant=True,
    )


def _held(doc: str, maximum: int) -> Setting:
    return Setting(
        doc=f"{doc}; 0 is what the tier allows (`security/limits.toml`).",
        minimum=0,
        maximum=maximum,
        tenant=True,
    )


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """How often somebody may ask and how much an organisation hold, whatever the tier.

    What was granted to one organisation travels in its people's tokens: it acts with the next
    token, within fifteen minutes.
    """

    SECTION: ClassVar[str] = "limits"

    user_per_minute: Annotated[int, _rate("Requests of one person")] = 0
    identity_per_minute: Annotated[
        int, _rate("Requests of one person about sessions and devices")
    ] = 0
    trading_per_minute: Annotated[int, _rate("Orders that one person may place")] = 0
    tenant_per_minute: Annotated[int, _rate("Requests of one organisation")] = 0
    connections_per_minute: Annotated[
        int, _rate("Connections that one device or person may open")
    ] = 0
    links_max: Annotated[
        int, _held("Devices of one organisation that may be connected at once", HELD_MAX)
    ] = 0
    streams_max: Annotated[
        int, _held("Streams of quotes that one organisation may have open", HELD_MAX)
    ] = 0
    feeds_max: Annotated[
        int,
        _held(
            "Feeds of one organisation, each a symbol of an account on a device, that the bridge "
            "keeps at once",
            HELD_MAX,
        ),
    ] = 0
    spool_per_cent: Annotated[
        int,
        _held(
            "How much of its own ticks in the spool and the free room together an "
            "organisation may fill, in per cent; 100 lets it fill the spool",
            WHOLE_PER_CENT,
        ),
    ] = 0

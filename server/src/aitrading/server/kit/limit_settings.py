"""How often somebody may ask, where an installation differs from the reviewed table."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from aitrading.core.infrastructure.config_manager import Setting

MAX_PER_MINUTE: Final = 10**7


def _rate(doc: str) -> Setting:
    return Setting(
        doc=f"{doc}, at once or in a minute; 0 is what the tier allows (`security/limits.toml`).",
        minimum=0,
        maximum=MAX_PER_MINUTE,
        tenant=True,
    )


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """How often somebody may ask, whatever the tier.

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

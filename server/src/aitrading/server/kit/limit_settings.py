"""How often somebody may ask, as an installation sets it."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """How often somebody may ask."""

    SECTION: ClassVar[str] = "limits"

    user_per_minute: Annotated[
        int,
        Setting(doc="Requests of one person, at once or in a minute.", minimum=1, maximum=10**6),
    ] = 1_200
    identity_per_minute: Annotated[
        int,
        Setting(
            doc="Requests of one person about sessions and devices, at once or in a minute.",
            minimum=1,
            maximum=10**6,
        ),
    ] = 120
    tenant_per_minute: Annotated[
        int,
        Setting(
            doc="Requests of one organisation, at once or in a minute.", minimum=1, maximum=10**7
        ),
    ] = 12_000
    connections_per_minute: Annotated[
        int,
        Setting(
            doc="Connections that one device or person may open, at once or in a minute.",
            minimum=1,
            maximum=10**6,
        ),
    ] = 120

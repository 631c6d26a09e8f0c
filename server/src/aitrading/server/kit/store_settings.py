"""Which stores an installation has."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

from aitrading.core.infrastructure.config_manager import Setting


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """The stores of the installation."""

    SECTION: ClassVar[str] = "stores"

    postgres_alone: Annotated[
        bool,
        Setting(
            doc="Keep everything in PostgreSQL: no ClickHouse, no cache engine. For small "
            "installations; decided by the first start and not changed later.",
        ),
    ] = False

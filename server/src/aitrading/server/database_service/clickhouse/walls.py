"""The wall between tenants in ClickHouse, which has no row security that a statement cannot forget.

Every statement says whose rows it may see, and the engine adds that condition to each table with
a tenant, wherever the statement reads it. Who says nothing sees no tenant's rows at all.
"""

from enum import Enum
from typing import Final

from aitrading.core.kit.ids import TenantId
from aitrading.server.kit.tenancy import tenant_setting

TENANT_TABLES: Final = ("market.bars", "market.tick_batches", "market.ticks")
"""Every table with a column `tenant`; a test compares it with what the migrations make."""
SETTING: Final = "additional_table_filters"


class Whose(Enum):
    """Rows of no tenant in particular."""

    NOBODY = "0"
    """None of any tenant: the rule."""
    EVERYBODY = "1"
    """All of all tenants: only for migrations, which change the tables themselves."""


Seen = TenantId | Whose


def wall(whose: Seen) -> str:
    """The value of `SETTING`, as ClickHouse reads a map."""
    condition = (
        whose.value if isinstance(whose, Whose) else f"tenant = \\'{tenant_setting(whose)}\\'"
    )
    tables = ", ".join(f"'{table}': '{condition}'" for table in TENANT_TABLES)
    return f"{{{tables}}}"

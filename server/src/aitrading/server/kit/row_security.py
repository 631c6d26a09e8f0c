"""The row-security gate: asks the catalogue whether the wall between tenants has a hole.

It runs after every migration and in a test against every table of the platform. A table is
guarded when it has a `tenant_id`; a table without one belongs to the platform.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from typing_extensions import override

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity
from aitrading.server.kit.transactions import Transaction

GUARDED_SCHEMAS: Final = (
    "app",
    "audit",
    "chains",
    "errors",
    "identity",
    "market",
    "trading",
    "public",
)
EXCEPTIONS: Final = ()
"""Policies that may differ, as `schema.table/policy`; each needs its reason in DESIGN."""
_QUERY: Final = Path(__file__).with_name("row_security.sql").read_text()

ROW_SECURITY_BROKEN: Final = ErrorSpec(
    code="ROW_SECURITY_BROKEN",
    category=Category.FATAL,
    message="The wall between tenants has {count} weaknesses: {weaknesses}.",
    why="A migration or a manual change left a table, view or role without protection.",
    remedy="Correct the named objects; use app.guard_tenant_table() for new tables.",
    severity=Severity.CRITICAL,
    impact=Impact.EVIDENCE,
)


@dataclass(frozen=True, kw_only=True)
class Weakness:
    """One hole: the object and what is wrong with it."""

    object: str
    weakness: str

    @override
    def __str__(self) -> str:
        return f"{self.object}: {self.weakness}"


async def row_security_weaknesses(
    tx: Transaction,
    *,
    schemas: tuple[str, ...] = GUARDED_SCHEMAS,
    exceptions: tuple[str, ...] = EXCEPTIONS,
) -> list[Weakness]:
    """Every hole there is, in a stable order; an empty list when the wall holds."""
    rows = await tx.fetch(_QUERY, list(schemas), list(exceptions))
    return [Weakness(object=row["object"], weakness=row["weakness"]) for row in rows]


async def require_row_security(tx: Transaction) -> None:
    """Raise `ROW_SECURITY_BROKEN` naming every hole."""
    weaknesses = await row_security_weaknesses(tx)
    if weaknesses:
        raise ROW_SECURITY_BROKEN.error(
            count=len(weaknesses), weaknesses="; ".join(map(str, weaknesses))
        )

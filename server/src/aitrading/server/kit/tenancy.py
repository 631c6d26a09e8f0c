"""Whose data a transaction may touch: the value of `app.tenant`, and nothing else decides it.

A tenant is taken from what was verified (a token, a certificate, a record of the platform),
never from a path, a query or a body of a user's request.
"""

from typing import Final
from uuid import UUID

from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.kit.ids import TenantId

TENANT_SETTING: Final = "app.tenant"
NO_TENANT: Final = ""
"""Outside of every tenant: rows of tenants do not exist for such a transaction."""
PLATFORM: Final = TenantId(UUID(int=0))
"""Owner of audit events that concern no customer; it has no users, devices or accounts."""

TENANT_MALFORMED: Final = ErrorSpec(
    code="TENANT_MALFORMED",
    category=Category.DENIED,
    message="The name of the tenant is not a UUID.",
    why="The caller sent something else where a tenant's id belongs.",
    remedy="Send the tenant's id as 36 characters, as `aitrading tenant list` shows it.",
    http_status=422,
    severity=Severity.WARNING,
)


def tenant_setting(tenant: TenantId) -> str:
    """The value of `app.tenant`; anything but a real UUID is a mistake and never gets there."""
    if not isinstance(tenant, UUID):  # pyright: ignore[reportUnnecessaryIsInstance] - the last guard
        raise TypeError(f"a tenant is a UUID, not {type(tenant).__name__}")
    return f"{tenant.int:032x}"  # digits alone, whatever a subclass makes of its text


def parse_tenant(text: str) -> TenantId:
    """Read a tenant's id that a peer service sends; raises `TENANT_MALFORMED`."""
    try:
        tenant = UUID(text)
    except ValueError:
        raise TENANT_MALFORMED.error() from None
    if str(tenant) != text or tenant == PLATFORM:
        raise TENANT_MALFORMED.error()
    return TenantId(tenant)

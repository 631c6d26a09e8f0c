"""What the host asks and tells of the audit trail, on its own interface.

`GET /internal/v1/admin/audit/size` gives the doctor `AuditSize`; the supervisor tells a
`ServiceChange` with `POST /internal/v1/admin/services/changes`.
"""

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

AUDIT_SIZE_PATH: Final = "/internal/v1/admin/audit/size"
SERVICE_CHANGES_PATH: Final = "/internal/v1/admin/services/changes"


class AuditSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much is in the trail of all organisations and the platform."""

    bytes: int
    rows_estimated: int
    oldest_at: datetime | None
    age_days: int


class ServiceChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service of the operator's own that was admitted or dismissed."""

    id: UUID
    """Of the event: told twice, it is there once."""
    occurred_ns: Annotated[int, msgspec.Meta(ge=0, lt=1 << 62)]
    service: Annotated[str, msgspec.Meta(pattern="^[a-z0-9-]{1,64}$")]
    admitted: bool

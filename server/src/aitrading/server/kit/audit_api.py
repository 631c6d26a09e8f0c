"""What the doctor asks of the audit trail, on the host's own interface.

`GET /internal/v1/admin/audit/size` gives `AuditSize`.
"""

from datetime import datetime
from typing import Final

import msgspec

AUDIT_SIZE_PATH: Final = "/internal/v1/admin/audit/size"


class AuditSize(msgspec.Struct, frozen=True, kw_only=True):
    """How much is in the trail of all organisations and the platform."""

    bytes: int
    rows_estimated: int
    oldest_at: datetime | None
    age_days: int

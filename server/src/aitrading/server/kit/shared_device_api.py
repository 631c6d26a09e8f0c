"""What the data bridge tells identity of a device whose certificate two clients use."""

from typing import Final
from uuid import UUID

import msgspec

SHARED_DEVICE_PATH: Final = "/internal/v1/devices/{device}/shared"


class SharedDevice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The tenant that the certificate names, and where the one came from that was sent back."""

    tenant: UUID
    address: str

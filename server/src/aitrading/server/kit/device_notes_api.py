"""What the api-gateway passes on to the database service of what devices tell.

* `POST /internal/v1/device-notes` with `DeviceNotes` gives `NotesTaken`; saying it again changes nothing.
"""

from typing import Final
from uuid import UUID

import msgspec

from aitrading.core.protocol.device_notes import Notes

NOTES_PATH: Final = "/internal/v1/device-notes"
NOTES_BYTES_MAX: Final = 128 * 1024


class DeviceNotes(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one device tells; tenant and device were proved by its key."""

    tenant: UUID
    device: UUID
    notes: Notes

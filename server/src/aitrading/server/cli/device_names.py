"""A device as people name it on the command line: by its name, or by its id."""

from uuid import UUID

import msgspec

from aitrading.server.cli.errors import DEVICE_AMBIGUOUS, DEVICE_NOT_KNOWN
from aitrading.server.cli.host import Host


class Device(msgspec.Struct, kw_only=True):
    """One installed client."""

    device: UUID
    name: str
    state: str


def devices_of(host: Host, tenant: str) -> list[Device]:
    """The devices of an organisation by name."""
    return host.get("devices", list[Device], tenant=tenant)


def device_of(host: Host, tenant: str, given: str) -> UUID:
    """The id that a name goes with, or is; raises `DEVICE_NOT_KNOWN` or `DEVICE_AMBIGUOUS`.

    A revoked device shares its name with the one that followed it, which is then meant.
    """
    try:
        return UUID(given)
    except ValueError:
        found = [each for each in devices_of(host, tenant) if each.name == given]
    living = [each for each in found if each.state != "revoked"] or found
    if len(living) > 1:
        ids = ", ".join(str(each.device) for each in living)
        raise DEVICE_AMBIGUOUS.error(name=given, devices=ids)
    if not living:
        raise DEVICE_NOT_KNOWN.error(name=given, tenant=tenant)
    return living[0].device

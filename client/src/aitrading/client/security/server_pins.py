"""Another set of the server's keys takes the place of the one in force, or is refused."""

from aitrading.client.security.device_files import DeviceFiles, DeviceRecord
from aitrading.core.logging.optimized_log_router import get_logger
from aitrading.core.security.server_pins import ServerPins, SignedPins, open_pins, pins_refused

_log = get_logger(__name__)


def take_pins(files: DeviceFiles, signed: SignedPins) -> None:
    """Keep a newer set; blocks. Raises `SERVER_PINS_REFUSED` and leaves the one in force.

    A set is taken only if it names a key that is known already: whoever could sign another one,
    and show another key, is not believed both at once.
    """
    record = files.record()
    pins = open_pins(signed, authority_pem=record.server_ca.encode())
    if _is_in_force(record, pins):
        return
    if not set(pins.keys) & set(record.server_keys):
        raise pins_refused("it names none of the keys that are known")
    files.replace_pins(pins.keys, pins.version)
    _log.info("the server's keys are known anew", version=pins.version, keys=len(pins.keys))


def _is_in_force(record: DeviceRecord, pins: ServerPins) -> bool:
    if pins.version < record.pins_version:
        raise pins_refused(f"version {pins.version} is older than {record.pins_version}")
    if pins.version > record.pins_version:
        return False
    if pins.keys != record.server_keys:
        raise pins_refused(f"version {pins.version} named other keys before")
    return True

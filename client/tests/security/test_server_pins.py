"""Which set of server keys takes the place of the one in force."""

from pathlib import Path

import pytest

from aitrading.client.security.device_files import DeviceFiles, DeviceRecord, ServerAddress
from aitrading.client.security.server_pins import take_pins
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.crypto import TlsKey
from aitrading.core.security.server_pins import ServerPins, SignedPins, pins_message, sealed_pins
from aitrading.core.testing.throwaway_ca import IDENTITY, ThrowawayCa

CA = ThrowawayCa()
ONE, TWO, THREE, FOUR = (digit * 64 for digit in "1234")


def signed(version: int, *keys: str, ca: ThrowawayCa = CA) -> SignedPins:
    pins = ServerPins(version=version, keys=keys)
    return sealed_pins(pins, ca.key.sign(pins_message(pins.text())))


@pytest.fixture
def files(tmp_path: Path) -> DeviceFiles:
    """Of a device that was enrolled when the server said one key only, by showing it."""
    files, key = DeviceFiles(tmp_path), TlsKey.generate()
    record = DeviceRecord(
        tenant=IDENTITY.tenant, device=IDENTITY.device,
        server=ServerAddress(host="localhost", port=1), server_ca=CA.pem.decode(),
        server_keys=(ONE,),
    )  # fmt: skip
    files.store(record, key, CA.device(key))
    return files


def test_a_backup_is_learnt_and_a_rotation_followed(files: DeviceFiles) -> None:
    take_pins(files, signed(2, ONE, TWO))
    take_pins(files, signed(2, ONE, TWO))
    assert (files.load().server_keys, files.load().pins_version) == ((ONE, TWO), 2)
    take_pins(files, signed(3, TWO, THREE))
    assert files.load().trust.spki_pins == {bytes.fromhex(TWO), bytes.fromhex(THREE)}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (signed(4, TWO, FOUR, ca=ThrowawayCa()), "not signed"),
        (signed(2, ONE, TWO), "older"),
        (signed(3, TWO, FOUR), "other keys"),
        (signed(4, ONE, FOUR), "none of the keys"),
    ],
)
def test_an_older_a_forged_and_a_foreign_set_change_nothing(
    files: DeviceFiles, wrong: SignedPins, reason: str
) -> None:
    take_pins(files, signed(2, ONE, TWO))
    take_pins(files, signed(3, TWO, THREE))
    with pytest.raises(AitradingError) as caught:
        take_pins(files, wrong)
    assert caught.value.code == "SERVER_PINS_REFUSED"
    assert reason in caught.value.message
    assert (files.load().server_keys, files.load().pins_version) == ((TWO, THREE), 3)

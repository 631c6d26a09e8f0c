"""The keys that the edge shows: one in use, one more that devices know already.

They are numbered. The newest is the backup, the one before it is in use: making another key is the
whole rotation, done or not done, and leaves nothing to remember.
"""

from collections.abc import Callable
from typing import Final

from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto import TlsKey, sha256
from aitrading.core.security.server_pins import (
    ServerPins,
    SignedPins,
    pins_message,
    sealed_pins,
)
from aitrading.server.authority.key_provider import KeyProvider, load_or_create

FIRST: Final = "edge.key.pem"
FIRST_BACKUP: Final = 2
PREFIX: Final = "edge-"
SUFFIX: Final = ".key.pem"


class EdgeKeys:
    """Opens the keys of the edge, and makes the first two."""

    def __init__(self, provider: KeyProvider, vouch: Callable[[bytes], bytes]) -> None:
        self._provider = provider
        self._vouch = vouch
        self._signed: SignedPins | None = None

    def in_use(self) -> Secret[bytes]:
        """The private key that the edge shows, PEM."""
        return self._load(self._newest() - 1)

    def pins(self) -> ServerPins:
        """Both keys, as devices know them; the version is the number of the backup."""
        newest = self._newest()
        keys = (TlsKey.from_pem(self._load(number)) for number in (newest - 1, newest))
        return ServerPins(
            version=newest, keys=tuple(sha256(key.public_der()).hex() for key in keys)
        )

    def signed_pins(self) -> SignedPins:
        """The same for devices, signed by the edge's authority."""
        if self._signed is None:
            pins = self.pins()
            self._signed = sealed_pins(pins, self._vouch(pins_message(pins.text())))
        return self._signed

    def rotate(self) -> ServerPins:
        """Use the backup, and make another one."""
        self._provider.store(_name(self._newest() + 1), TlsKey.generate().pem())
        self._signed = None
        return self.pins()

    def _newest(self) -> int:
        numbers = [_number(name) for name in self._provider.names()]
        return max(FIRST_BACKUP, *numbers)

    def _load(self, number: int) -> Secret[bytes]:
        """A key by its number; the first two are made, any other one must be there."""
        if number > FIRST_BACKUP:
            return self._provider.load(_name(number))
        return load_or_create(self._provider, _name(number), lambda: TlsKey.generate().pem())


def _name(number: int) -> str:
    return FIRST if number == 1 else f"{PREFIX}{number}{SUFFIX}"


def _number(name: str) -> int:
    """The number in a name; 0 when it names no key of the edge."""
    text = name.removeprefix(PREFIX).removesuffix(SUFFIX)
    return int(text) if name == f"{PREFIX}{text}{SUFFIX}" and text.isdecimal() else 0

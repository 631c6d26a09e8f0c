"""Which run of a device's client has the link, so that two of them are told apart.

Each run of a client names itself anew with HELLO, by a name that is on no disk. A device whose
client was started again comes with another one, and the old one never comes back. One that does
come back while its successor is here proves that both run: they share one key.
"""

from collections import OrderedDict, deque
from typing import Final

from aitrading.core.kit.clock import Clock
from aitrading.core.kit.ids import DeviceId
from aitrading.core.protocol.error_codes import LINK_DEVICE_SHARED

LIVES_PER_DEVICE: Final = 8
DEVICES_MAX: Final = 100_000
"""Devices whose lives are remembered; those that came longest ago are forgotten first."""


class Lives:
    """The newest lives of each device, the one that has the link last."""

    def __init__(self, clock: Clock, *, quiet_ns: int) -> None:
        self._clock = clock
        self._quiet_ns = quiet_ns
        self._lives: OrderedDict[DeviceId, deque[str]] = OrderedDict()
        self._left_ns: dict[DeviceId, int] = {}

    def enter(self, device: DeviceId, life: str, *, is_linked: bool) -> None:
        """Let a life have the link; `is_linked` says that another link of the device is open.

        Raises `LINK_DEVICE_SHARED` for one whose place another life took that is here, or left
        less than the quiet time ago. A client that names none is older than the names, and nobody
        can tell it from another.
        """
        if not life:
            return
        lives = self._lives.setdefault(device, deque(maxlen=LIVES_PER_DEVICE))
        if life in lives and life != lives[-1] and (is_linked or not self._is_quiet(device)):
            raise LINK_DEVICE_SHARED.error()
        if life in lives:
            lives.remove(life)
        lives.append(life)
        self._lives.move_to_end(device)
        if len(self._lives) > DEVICES_MAX:
            forgotten, _ = self._lives.popitem(last=False)
            self._left_ns.pop(forgotten, None)

    def left(self, device: DeviceId) -> None:
        """The device has no link any more."""
        if device in self._lives:
            self._left_ns[device] = self._clock.monotonic_ns()

    def _is_quiet(self, device: DeviceId) -> bool:
        left_ns = self._left_ns.get(device)
        return left_ns is not None and self._clock.monotonic_ns() - left_ns >= self._quiet_ns

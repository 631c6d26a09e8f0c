"""What identity said of the devices that are connected, and how old its word is."""

from typing import Final

from aitrading.core.kit.clock import NS_PER_S, Clock
from aitrading.core.kit.ids import DeviceId, TenantId
from aitrading.core.protocol.error_codes import LINK_DEVICE_REFUSED, LINK_SUBSCRIPTION_INACTIVE
from aitrading.server.data_bridge.device_link import DeviceLink
from aitrading.server.data_bridge.ports import DeviceRegister, DeviceStatus
from aitrading.server.data_bridge.shares import Shares

UNCHECKED_NS: Final = 60 * NS_PER_S
"""How old the word may be: ticks of a device of which it is older are not taken."""
REFUSALS: Final = (LINK_DEVICE_REFUSED, LINK_SUBSCRIPTION_INACTIVE)
"""What identity decided; anything else is trouble of our own."""

STANDING: Final = "standing"
"""The field of a refusal that says how the device, or its organisation's plan, stands."""


class Rights:
    """Asks identity, and remembers when it answered last."""

    def __init__(self, register: DeviceRegister, shares: Shares, clock: Clock) -> None:
        self._register = register
        self._shares = shares
        self._clock = clock
        self._asked_ns: dict[DeviceId, int] = {}
        self._unanswered: set[DeviceId] = set()

    async def require(self, link: DeviceLink) -> DeviceStatus:
        """What identity says; raises why the link may not be. Without a plan it may, held."""
        identity = link.device.identity
        asked_ns = self._clock.monotonic_ns()
        status = await self._register.find(identity)
        known = status is not None and status.tenant == identity.tenant
        if status is None or not known or not status.is_active:
            standing = status.state if status is not None and known else "unknown"
            raise LINK_DEVICE_REFUSED.error(**{STANDING: standing})
        if not status.is_entitled and (status.is_suspended or not link.can_be_held):
            raise LINK_SUBSCRIPTION_INACTIVE.error(**{STANDING: f"plan {status.subscription}"})
        self._asked_ns[identity.device] = asked_ns
        self._unanswered.discard(identity.device)
        self._shares.remember(TenantId(status.tenant), status.rates)
        return status

    def not_answered(self, device: DeviceId) -> None:
        """Identity was asked about a connected device, and did not answer."""
        self._unanswered.add(device)

    def outdated(self) -> list[DeviceId]:
        """Devices about whom identity was asked in vain and said nothing for too long."""
        now_ns = self._clock.monotonic_ns()
        return [
            device
            for device in self._unanswered
            if now_ns - self._asked_ns.get(device, 0) >= UNCHECKED_NS
        ]

    def forget(self, device: DeviceId) -> None:
        """It is not connected any more."""
        self._asked_ns.pop(device, None)
        self._unanswered.discard(device)

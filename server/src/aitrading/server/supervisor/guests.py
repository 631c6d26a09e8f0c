"""Services that the operator runs beside the house's own, and admits by name.

Being admitted is getting an identity: a certificate and a token key of 24 hours that `up` renews, a
user on the bus with the fewest rights, and a bundle that tells the service where everything is. What
registers without one is nobody: the bus lets a user write under its own name only.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from aitrading.core.kit.errors import Category, ErrorSpec
from aitrading.server.engines.files import replace_private
from aitrading.server.engines.nats import SubjectRights
from aitrading.server.kit.admitted_services import Guest, read_admitted
from aitrading.server.policy import bus_policy, edge_policy
from aitrading.server.policy.service_names import MAX_SERVICE_NAME_CHARS, objection_to_name
from aitrading.server.supervisor.bundles import ADMIN, SERVICE_NAMES, BundleWriter
from aitrading.server.supervisor.errors import ADMIN_ARGUMENTS_INVALID
from aitrading.server.supervisor.guest_journal import GuestJournal

T = TypeVar("T")
RIGHTS: Final = SubjectRights(
    publish=bus_policy().guests_publish,
    subscribe=bus_policy().guests_subscribe,
    machinery=bus_policy().guests_machinery,
)
"""It says how it is, and hears whose sessions ended; no market data, no orders, no stored events."""
_TAKEN: Final = frozenset({*SERVICE_NAMES, ADMIN, "nats", "supervisor", "sys", "edge"})
_PORT_MAX: Final = 65_535

SERVICE_NOT_ADMISSIBLE = ErrorSpec(
    code="SERVICE_NOT_ADMISSIBLE",
    category=Category.DENIED,
    message="a service cannot be admitted as {service}: {reason}.",
    why="The name is the service's identity on the bus, in its certificate and in its paths.",
    remedy="Choose a name of small letters, digits and single hyphens that nobody has; see "
    "`aitrading service list`.",
)
SERVICE_UNKNOWN = ErrorSpec(
    code="SERVICE_UNKNOWN",
    category=Category.DENIED,
    message="no service was admitted as {service}.",
    why="Only services of the operator can be dismissed, and only once.",
    remedy="See `aitrading service list`.",
)


class AdmittedService(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever starts it has to know."""

    name: str
    port: int
    bundle: str
    socket: str


@dataclass(frozen=True, kw_only=True)
class Doors:
    """What admitting somebody opens, and closes again."""

    issue: Callable[[tuple[str, ...]], Awaitable[None]]
    withdraw: Callable[[tuple[str, ...]], Awaitable[None]]
    """Publish the token keys of these no longer."""
    forget_login: Callable[[str], None]
    """Of the bus: who is admitted again under the name gets another password."""
    bundles: BundleWriter
    journal: GuestJournal
    """Takes each change before it counts."""
    bus_users: dict[str, SubjectRights]
    """Read whenever the bus's configuration is written."""
    write_bus: Callable[[], Awaitable[None]]


class Guests:
    """Who was admitted; kept in a file, so that the next start knows them too."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guests = {guest.name: guest for guest in read_admitted(path)}
        self._doors: Doors | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """All of them."""
        return tuple(self._guests)

    @property
    def rights(self) -> Mapping[str, SubjectRights]:
        """Their users on the bus."""
        return dict.fromkeys(self._guests, RIGHTS)

    def open(self, doors: Doors) -> None:
        """From here on somebody can be admitted."""
        self._doors = doors

    def write_bundles(self) -> None:
        """A fresh bundle for each; a service that starts finds this start's addresses."""
        for guest in self._guests.values():
            self._bundle(guest)

    def told(self) -> list[AdmittedService]:
        """Where each finds its bundle."""
        return [self._bundle(guest, write=False) for guest in self._guests.values()]

    async def admit(self, arguments: Mapping[str, Any]) -> AdmittedService:
        """Give a service its identity; repeating it renews that.

        Raises SERVICE_NOT_ADMISSIBLE, or the authority's own errors.
        """
        guest = _arguments(arguments, Guest)
        self._require_admissible(guest)
        doors = self._opened()
        await doors.issue((guest.name,))
        doors.journal.note(guest.name, admitted=True)
        self._guests[guest.name] = guest
        self._save()
        doors.bus_users[guest.name] = RIGHTS
        await doors.write_bus()
        return self._bundle(guest)

    async def dismiss(self, arguments: Mapping[str, Any]) -> None:
        """Take everything away that made it somebody, also from one that still runs.

        Its user on the bus, the key of its tokens, its socket and its paths; what it can still
        show is a certificate that nobody asks for without a token. It counts as admitted until
        all of that is done: a dismissal that failed can be repeated. Raises SERVICE_UNKNOWN, or
        the authority's own errors.
        """
        name = _arguments(arguments, _Name).name
        if name not in self._guests:
            raise SERVICE_UNKNOWN.error(service=name[:MAX_SERVICE_NAME_CHARS])
        doors = self._opened()
        doors.bus_users.pop(name, None)
        await doors.write_bus()
        await doors.withdraw((name,))
        doors.bundles.remove(name)
        doors.forget_login(name)
        doors.journal.note(name, admitted=False)
        self._guests.pop(name, None)
        self._save()

    def _require_admissible(self, guest: Guest) -> None:
        reason = objection_to_name(guest.name)
        limit = edge_policy().admission.max_services - len(SERVICE_NAMES)
        if reason is not None:
            pass
        elif guest.name in _TAKEN:
            reason = "the platform itself uses this name"
        elif not 0 <= guest.port <= _PORT_MAX:
            reason = f"{guest.port} is no port"
        elif guest.name not in self._guests and len(self._guests) >= limit:
            reason = f"{limit} services are admitted already"
        if reason is not None:
            shown = guest.name[:MAX_SERVICE_NAME_CHARS]
            raise SERVICE_NOT_ADMISSIBLE.error(service=shown, reason=reason)

    def _bundle(self, guest: Guest, *, write: bool = True) -> AdmittedService:
        bundles = self._opened().bundles
        path = bundles.write_guest(guest.name, guest.port) if write else bundles.path(guest.name)
        return AdmittedService(
            name=guest.name,
            port=guest.port,
            bundle=str(path),
            socket=str(bundles.socket(guest.name)),
        )

    def _opened(self) -> Doors:
        if self._doors is None:
            raise RuntimeError("nobody can be admitted before the platform is put together")
        return self._doors

    def _save(self) -> None:
        content = msgspec.json.encode(sorted(self._guests.values(), key=lambda each: each.name))
        replace_private(self._path, content, durable=True)


class _Name(msgspec.Struct):
    name: str


def _arguments(given: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(given), kind)
    except msgspec.ValidationError as exc:
        raise ADMIN_ARGUMENTS_INVALID.error(reason=str(exc)) from exc

"""The broker login, when the terminal does not own it: sealed on disk, opened with the server's help.

The key has two halves. The local one is kept by what the system offers and its user chose by name;
the other is a share that the server hands to this device for a day at a time. A stolen disk has one
half, a stolen server has the other, and neither has the login. A share is in memory only.

Replacing a login asks for a new share, and the server destroys the older one when the new one is
first used: an older copy of the file opens for nobody any more.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from aitrading.client.security.credential_errors import (
    CREDENTIALS_EXIST,
    CREDENTIALS_INVALID,
    CREDENTIALS_LEASE_ENDED,
    CREDENTIALS_LEASE_MISSING,
    CREDENTIALS_MISSING,
    CREDENTIALS_OF_ANOTHER_DEVICE,
)
from aitrading.client.security.credential_file import (
    FILE_NAME,
    MAX_BYTES,
    BrokerLogin,
    CredentialFile,
    CredentialHeader,
    bound_to,
    read,
    written,
)
from aitrading.client.security.device_calls import DeviceCalls
from aitrading.client.security.device_files import FOLDER, DeviceRecord
from aitrading.client.security.errors import SERVER_ANSWER_UNEXPECTED
from aitrading.client.security.protection import LOCAL_BYTES, Protection, ProtectionKind
from aitrading.client.security.secret_buffer import SecretBuffer
from aitrading.core.infrastructure.files import remove_durably, write_atomically
from aitrading.core.kit.clock import NS_PER_S, Clock, now_ms, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError, Category
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_fields import FieldKey
from aitrading.core.security.device_requests import DevicePurpose

LEASE_S: Final = 24 * 3600
MAX_SERVER_CHARS: Final = 128
MAX_PASSWORD_CHARS: Final = 256
SHARE_PATH: Final = "/api/v1/devices/credentials/share"
LEASE_PATH: Final = "/api/v1/devices/credentials/lease"
FORGET_PATH: Final = "/api/v1/devices/credentials/forget"
T = TypeVar("T")


class _NewShare(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    share: str


class _Leased(msgspec.Struct, frozen=True, kw_only=True):
    share: str
    expires_at: datetime
    rotate: bool


class _Forgotten(msgspec.Struct, frozen=True, kw_only=True):
    shares: int


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The server's share of one stored login, in memory."""

    share_id: UUID
    share: Secret[bytes]
    ends_ns: int
    ends_monotonic_ns: int
    """A wall clock that is set back does not lengthen a lease."""
    rotate: bool


class CredentialManager:
    """Stores, opens, rotates and forgets one broker login; blocks. May be used by two threads.

    `protection` gives the way that a name stands for; there is no default and no second try.
    """

    def __init__(
        self,
        home: Path,
        record: DeviceRecord,
        calls: DeviceCalls,
        *,
        protection: Callable[[ProtectionKind], Protection],
        clock: Clock,
    ) -> None:
        self._home = home
        self._path = home / FOLDER / FILE_NAME
        self._record = record
        self._calls = calls
        self._protection = protection
        self._clock = clock
        self._lease: Lease | None = None
        self._lock = threading.RLock()

    @property
    def is_stored(self) -> bool:
        """There is a file, good or bad."""
        return self._path.exists()

    @property
    def lease(self) -> Lease | None:
        """The present lease, which may have ended."""
        return self._lease

    def describe(self) -> CredentialHeader:
        """What is stored, as far as it tells without a key."""
        return self._read().header

    def store(self, login: BrokerLogin, kind: ProtectionKind) -> None:
        """Seal a login and replace nothing; raises what the protection or the server refuse."""
        _require_sound(login)
        if self.is_stored:
            raise CREDENTIALS_EXIST.error(home=str(self._home))
        with self._lock:
            self._seal(login, kind)

    def open(self) -> BrokerLogin:
        """The login, whose password its caller wipes; needs a lease that has not ended."""
        with self._lock:
            stored = self._read()
            header = stored.header
            lease = self._require_lease(header)
            local = self._protection(header.protection).unwrap(
                header.wrapped, bound_to=header.bound_to
            )
            return stored.open(local=local, share=lease.share)

    def rotate(self, password: SecretBuffer | None = None) -> None:
        """Seal the login anew under new halves, perhaps with a new password."""
        with self._lock:
            before = self.describe()
            present = self.open()
            with present.password:
                login = BrokerLogin(
                    login=present.login,
                    server=present.server,
                    password=password or present.password,
                )
                _require_sound(login)
                self._seal(login, before.protection)
            self._protection(before.protection).forget(bound_to=before.bound_to)

    def renew_lease(self) -> Lease:
        """Ask the server for another day; the present lease stays when it does not answer."""
        with self._lock:
            return self._fetch_lease(self._read().header)

    def forget(self) -> None:
        """Destroy the file, the local half and, if the server answers, its share.

        Raises what kept the server from destroying its share, after everything here is gone.
        """
        with self._lock:
            try:
                header = self._read().header if self.is_stored else None
            except AitradingError:
                header = None
            remove_durably(self._path)
            self._lease = None
            if header is not None:
                self._protection(header.protection).forget(bound_to=header.bound_to)
            self._calls.ask(DevicePurpose.FORGET, FORGET_PATH, {}, _Forgotten)

    def _seal(self, login: BrokerLogin, kind: ProtectionKind) -> None:
        made = self._calls.ask(DevicePurpose.NEW_SHARE, SHARE_PATH, {}, _NewShare)
        who = {"tenant": self._record.tenant, "device": self._record.device, "share": made.id}
        local, share = FieldKey.generate(), _share_of(made.share)
        header = CredentialHeader(
            **who,
            protection=kind,
            stored_ms=now_ms(self._clock),
            wrapped=self._protection(kind).wrap(local, bound_to=bound_to(**who)),
        )
        write_atomically(self._path, written(header, login, local=local, share=share))
        self._fetch_lease(header)  # from now on the server knows that the older one is not needed

    def _read(self) -> CredentialFile:
        try:
            with self._path.open("rb") as file:
                stored = read(file.read(MAX_BYTES + 1))
        except FileNotFoundError:
            raise CREDENTIALS_MISSING.error(home=str(self._home)) from None
        ours = (self._record.tenant, self._record.device)
        if (stored.header.tenant, stored.header.device) != ours:
            raise CREDENTIALS_OF_ANOTHER_DEVICE.error()
        return stored

    def _require_lease(self, header: CredentialHeader) -> Lease:
        lease = self._lease
        if lease is None or lease.share_id != header.share:
            return self._fetch_lease(header)
        if not self._has_ended(lease):
            return lease
        try:
            return self._fetch_lease(header)
        except AitradingError as exc:
            if exc.spec is not CREDENTIALS_LEASE_MISSING:
                raise
            ended = rfc3339_of_ns(lease.ends_ns)
            raise CREDENTIALS_LEASE_ENDED.error(ended=ended) from exc

    def _has_ended(self, lease: Lease) -> bool:
        clock = self._clock
        return clock.monotonic_ns() >= lease.ends_monotonic_ns or clock.now_ns() >= lease.ends_ns

    def _fetch_lease(self, header: CredentialHeader) -> Lease:
        asked_ns = self._clock.monotonic_ns()
        try:
            leased = self._calls.ask(
                DevicePurpose.LEASE, LEASE_PATH, {"id": str(header.share)}, _Leased
            )
        except AitradingError as exc:
            if exc.spec.category is Category.DENIED:
                self._lease = None  # a revoked device has no right to what it still remembers
                raise
            raise CREDENTIALS_LEASE_MISSING.error(cause=exc.message) from exc
        self._lease = Lease(
            share_id=header.share,
            share=_share_of(leased.share),
            ends_ns=round(leased.expires_at.timestamp()) * NS_PER_S,
            ends_monotonic_ns=asked_ns + LEASE_S * NS_PER_S,
            rotate=leased.rotate,
        )
        return self._lease


def _share_of(text: str) -> Secret[bytes]:
    try:
        share = bytes.fromhex(text)
    except ValueError as exc:
        raise SERVER_ANSWER_UNEXPECTED.error(status=200) from exc
    if len(share) != LOCAL_BYTES:
        raise SERVER_ANSWER_UNEXPECTED.error(status=200)
    return Secret(share)


def _require_sound(login: BrokerLogin) -> None:
    if not 0 < login.login < 2**63:
        raise CREDENTIALS_INVALID.error(reason="the login is not a number of an account")
    if not 0 < len(login.server) <= MAX_SERVER_CHARS:
        raise CREDENTIALS_INVALID.error(reason="the server has no name, or too long a one")
    if not 0 < len(login.password) <= MAX_PASSWORD_CHARS:
        raise CREDENTIALS_INVALID.error(reason="the password is empty or too long")

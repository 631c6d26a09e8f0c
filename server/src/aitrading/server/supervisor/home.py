"""The home: one folder with everything one installation owns, and the rules for entering it."""

import fcntl
import os
import shutil
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from aitrading.core.kit.clock import NS_PER_S, Clock, rfc3339_of_ns
from aitrading.core.kit.errors import AitradingError
from aitrading.server.engines.files import replace_private
from aitrading.server.engines.process import ProcessId, process_id
from aitrading.server.supervisor.errors import (
    CLOCK_BEHIND,
    DISK_SPACE_LOW,
    HOME_IN_USE,
    HOME_NOT_USABLE,
    HOME_PATH_TOO_LONG,
)

SOCKET_PATH_LIMIT_BYTES = 107
SOCKET_NAME_RESERVE_BYTES = 36
"""Room for the longest name below `run`, for instance `/database-service.sock`."""
FREE_SPACE_MIN_MB = 512
CLOCK_TOLERANCE_S = 60
PRIVATE = 0o700
UNPACKED = ".unpacked"
"""What a restore works on; a folder that holds it did not become a home."""
WRITABLE_BY_OTHERS = 0o022

_FOLDERS = ("keys", "trust", "valkey", "nats", "clickhouse", "envoy", "spool", "logs", "clients")


class LockHolder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a home."""

    pid: int
    started_ticks: int
    command: str
    since: str

    @property
    def process(self) -> ProcessId:
        """The process itself, not just its number."""
        return ProcessId(self.pid, self.started_ticks)


class Home:
    """Paths below one root, and what must hold before the platform may run in it."""

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self.keys = self.root / "keys"
        self.passwords = self.keys / "passwords"
        """Those of the engines' users, one file each."""
        self.trust = self.root / "trust"
        self.postgres = self.root / "postgres"
        self.valkey = self.root / "valkey"
        self.nats = self.root / "nats"
        self.clickhouse = self.root / "clickhouse"
        self.envoy = self.root / "envoy"
        self.spool = self.root / "spool"
        self.quarantine = self.root / "quarantine"
        self.logs = self.root / "logs"
        self.demo_client = self.root / "clients" / "demo"
        self.config_file = self.root / "aitrading.toml"
        self.lock_file = self.root / "lock"
        self.stamp_file = self.root / "last-used"
        self.primary_record = self.root / "postgres-primary.json"
        """The newest primary of a PostgreSQL given by URL; see `aitrading primary`."""
        self._run_link = self.root / "run"

    @property
    def run(self) -> Path:
        """The folder of sockets and bundles, always short enough for socket names."""
        return self._run_link.resolve()

    @property
    def admin_socket(self) -> Path:
        """Where the supervisor answers the command line."""
        return self.run / "admin.sock"

    @property
    def state_file(self) -> Path:
        """What the supervisor last said about everything."""
        return self.run / "state.json"

    @property
    def children_file(self) -> Path:
        """The processes of the last start; tells leftovers from strangers."""
        return self.run / "children.json"

    @property
    def bundles(self) -> Path:
        """One file per service."""
        return self.run / "bundles"

    @property
    def told(self) -> Path:
        """Metrics of the supervisor and its engines, one file each."""
        return self.run / "told"

    def create(self) -> None:
        """Make the root itself; raises HOME_NOT_USABLE for anything that is not ours to use."""
        try:
            self.root.mkdir(mode=PRIVATE, parents=True, exist_ok=True)
        except OSError as exc:
            raise self._unusable(exc.strerror or str(exc)) from exc
        found = self.root.stat()
        if found.st_uid != os.geteuid():
            raise self._unusable(f"it belongs to user {found.st_uid}, you are {os.geteuid()}")
        if found.st_mode & WRITABLE_BY_OTHERS:
            raise self._unusable("others may write in it, so a link planted there could lead out")
        if not os.access(self.root, os.W_OK | os.X_OK):
            raise self._unusable("it is not writable")
        if (self.root / UNPACKED).exists():
            raise self._unusable("a restore into it did not come to its end; repeat the restore")

    def prepare(self) -> None:
        """Make the folders; call it while holding the lock."""
        for name in _FOLDERS:
            (self.root / name).mkdir(mode=PRIVATE, exist_ok=True)
        self._prepare_run()
        self.bundles.mkdir(mode=PRIVATE, exist_ok=True)
        self.told.mkdir(mode=PRIVATE, exist_ok=True)
        self.demo_client.parent.mkdir(mode=PRIVATE, exist_ok=True)

    @contextmanager
    def lock(self, clock: Clock) -> Generator[None]:
        """Hold the home; raises HOME_IN_USE naming the holder. The kernel frees it if we die."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise self._in_use() from exc
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, msgspec.json.encode(_ourselves(clock)), 0)
            yield
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def holder(self) -> LockHolder | None:
        """Who runs the platform here right now."""
        try:
            found = msgspec.json.decode(self.lock_file.read_bytes(), type=LockHolder)
        except (OSError, msgspec.MsgspecError):
            return None
        return found if found.process.alive else None

    def check_space(self) -> None:
        """Raise DISK_SPACE_LOW rather than start engines that cannot write."""
        free_mb = shutil.disk_usage(self.root).free >> 20
        if free_mb < FREE_SPACE_MIN_MB:
            raise DISK_SPACE_LOW.error(
                folder=str(self.root), free_mb=free_mb, needed_mb=FREE_SPACE_MIN_MB
            )

    def check_clock(self, clock: Clock) -> None:
        """Raise CLOCK_BEHIND when this home was used later than now."""
        newest_ns = self.newest_stamp_ns()
        if newest_ns - clock.now_ns() > CLOCK_TOLERANCE_S * NS_PER_S:
            raise CLOCK_BEHIND.error(
                now=rfc3339_of_ns(clock.now_ns()),
                newest=rfc3339_of_ns(newest_ns),
            )

    def warnings(self, clock: Clock) -> Iterator[str]:
        """What would keep the platform from starting again, were it to stop now."""
        for check in (self.check_space, lambda: self.check_clock(clock)):
            try:
                check()
            except (AitradingError, OSError) as exc:
                yield str(exc)

    def newest_stamp_ns(self) -> int:
        """The latest time at which a supervisor is known to have worked here; 0 when new."""
        try:
            return int(self.stamp_file.read_text(encoding="ascii"))
        except (OSError, ValueError):
            return 0

    def stamp(self, clock: Clock) -> None:
        """Remember that the home is in use now."""
        newest_ns = max(clock.now_ns(), self.newest_stamp_ns())
        replace_private(self.stamp_file, str(newest_ns).encode())

    def remove_run(self) -> None:
        """Remove what only a running platform needs; keys and data stay."""
        target = self.run
        shutil.rmtree(target, ignore_errors=True)
        if self._run_link.is_symlink():
            self._run_link.unlink()

    def _prepare_run(self) -> None:
        """Start with an empty run folder; a deep home gets a short one under the temp folder."""
        if self._run_link.is_symlink() or self._run_link.exists():
            self.remove_run()
        if _short_enough(self._run_link):
            self._run_link.mkdir(mode=PRIVATE)
            return
        short = Path(tempfile.mkdtemp(prefix="aitrading-"))
        if not _short_enough(short):
            short.rmdir()
            raise HOME_PATH_TOO_LONG.error(
                folder=str(self._run_link),
                length_bytes=len(os.fsencode(self._run_link)),
                limit_bytes=SOCKET_PATH_LIMIT_BYTES,
            )
        self._run_link.symlink_to(short, target_is_directory=True)

    def _unusable(self, reason: str) -> AitradingError:
        return HOME_NOT_USABLE.error(home=str(self.root), reason=reason)

    def _in_use(self) -> AitradingError:
        holder = self.holder()
        return HOME_IN_USE.error(
            home=str(self.root),
            pid=holder.pid if holder else "unknown",
            command=holder.command if holder else "unknown",
            since=holder.since if holder else "unknown",
        )


def _short_enough(folder: Path) -> bool:
    return len(os.fsencode(folder)) + SOCKET_NAME_RESERVE_BYTES <= SOCKET_PATH_LIMIT_BYTES


def _ourselves(clock: Clock) -> LockHolder:
    me = process_id(os.getpid())
    return LockHolder(
        pid=me.pid,
        started_ticks=me.started_ticks,
        command=" ".join(["aitrading", *sys.argv[1:]])[:200],
        since=rfc3339_of_ns(clock.now_ns()),
    )

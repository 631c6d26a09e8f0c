"""Whether the client's own files are the released ones.

At the start every listed file is hashed. Later a round looks at size, times and place of each, which
costs a few milliseconds, hashes what looks different and a slice of the rest, so that within
`SLICES` rounds everything was hashed again: times can be set back.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aitrading.client
from aitrading.client.security.compiled_code import is_faithful, source_of
from aitrading.client.security.registration import Registration, registration
from aitrading.core.infrastructure.files import is_link, write_atomically
from aitrading.core.kit.errors import AitradingError
from aitrading.core.security.device_reports import FilesState
from aitrading.core.security.file_manifest import (
    CACHE_FOLDER,
    FileManifest,
    ListedFile,
    digest_of,
    opened_manifest,
)

MANIFEST_NAME: Final = "aitrading/client/release.manifest"
KEYS_NAME: Final = "release_keys.txt"
SLICES: Final = 60
MAX_TOLD: Final = 20
"""Files that are named; the rest is counted."""
_Stamp = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class FilesReport:
    """How the files stand."""

    state: FilesState
    version: str = ""
    checked: int = 0
    findings: tuple[str, ...] = ()

    @property
    def bars_exposure(self) -> bool:
        """Somebody changed what decides here: nothing new may be opened."""
        return self.state is FilesState.ALTERED


def installation_root() -> Path:
    """The folder that `aitrading/client` lies in."""
    return Path(aitrading.client.__path__[0]).parents[1]


def pinned_keys() -> frozenset[str]:
    """The public keys of who may release a client, from the package itself."""
    path = Path(__file__).with_name(KEYS_NAME)
    lines = path.read_text(encoding="ascii").splitlines() if path.exists() else []
    return frozenset(line.split("#")[0].strip() for line in lines) - {""}


@dataclass(kw_only=True)
class Installation:
    """One installation; `check` blocks, for up to a second the first time."""

    root: Path = field(default_factory=installation_root)
    keys: frozenset[str] = field(default_factory=pinned_keys)
    seen: Path | None = None
    """Where a home remembers that a signed release ran: it does not become an unsigned one."""
    registered: Callable[[], Registration | None] = registration
    """What an installer left where only an administrator can change it."""
    _stamps: dict[str, _Stamp] = field(default_factory=dict[str, _Stamp])
    """What was hashed and was right, and how it looked then."""
    _round: int = 0

    def check(self, *, whole: bool = False) -> FilesReport:
        """Look at everything, hash what may have changed; never raises."""
        path = self.root / MANIFEST_NAME
        if not path.exists() and not self.keys:
            was_here = self.seen is not None and self.seen.exists()
            if was_here or any(self._wrong_record("")):
                return _altered(
                    "", 0, [f"{MANIFEST_NAME} and its keys were here, and are missing"]
                )
            return FilesReport(state=FilesState.UNSIGNED)
        try:
            manifest = opened_manifest(path.read_bytes(), accepted=self.keys)
        except OSError:
            return _altered("", 0, [f"{MANIFEST_NAME} is missing or cannot be read"])
        except AitradingError as exc:
            return _altered("", 0, [exc.message])
        self._remember(manifest.version)
        self._round += 1
        findings = [
            *self._wrong_record(manifest.version),
            *self._wrong_files(manifest, whole=whole),
            *self._added(manifest),
        ]
        if findings:
            return _altered(manifest.version, len(manifest.files), findings)
        return FilesReport(
            state=FilesState.INTACT, version=manifest.version, checked=len(manifest.files)
        )

    def _registration(self) -> Registration | None:
        """The record, if it is of this installation and not of another one on the machine."""
        record = self.registered()
        return record if record is not None and Path(record.folder) == self.root else None

    def _wrong_record(self, version: str) -> Iterator[str]:
        try:
            record = self._registration()
        except OSError as exc:
            yield f"the registration cannot be read: {exc}"
            return
        if record is None:
            return
        if self.keys != frozenset({record.release_key}):
            yield "the registration names another release key"
        if record.version != version:
            yield f"the registration is of version {record.version}"
        if record.writers:
            yield f"the registration can be changed by {', '.join(record.writers)}"

    def _remember(self, version: str) -> None:
        if self.seen is not None and self.seen.parent.is_dir() and not self.seen.exists():
            with suppress(OSError):  # the next round tries again
                write_atomically(self.seen, version.encode())

    def _wrong_files(self, manifest: FileManifest, *, whole: bool) -> Iterator[str]:
        for number, file in enumerate(manifest.files):
            is_due = whole or (number + self._round) % SLICES == 0
            reason = self._wrong(file, is_due=is_due)
            if reason:
                yield f"{file.path} {reason}"

    def _wrong(self, file: ListedFile, *, is_due: bool) -> str:
        path = self.root / file.path
        try:
            stamp = _stamp(path)
            if not is_due and self._stamps.get(file.path) == stamp:
                return ""
            self._stamps.pop(file.path, None)
            if path.stat().st_size != file.size or digest_of(path) != file.sha256:
                return "was changed"
        except FileNotFoundError:
            return "is missing"
        except OSError as exc:
            return f"cannot be read: {os.strerror(exc.errno or 0)}"
        self._stamps[file.path] = stamp
        return ""

    def _added(self, manifest: FileManifest) -> Iterator[str]:
        known = {file.path for file in manifest.files} | {MANIFEST_NAME}
        for path in _files(self.root / folder for folder in manifest.folders):
            name = path.relative_to(self.root).as_posix()
            if name in known:
                continue
            if path.parent.name == CACHE_FOLDER and not is_link(path):
                if self._runs_something_else(path, name, known):
                    yield f"{name} is not what its source compiles to"
            else:
                yield f"{name} was added"

    def _runs_something_else(self, path: Path, name: str, known: set[str]) -> bool:
        source = source_of(path)
        if source is None:
            return False
        try:
            stamp = _stamp(path)
            if self._stamps.get(name) == stamp:
                return False
            is_known = source.relative_to(self.root).as_posix() in known
            if is_known and not is_faithful(path, source):
                return True
        except (OSError, SyntaxError, ValueError):
            return True
        self._stamps[name] = stamp
        return False


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    """What is no folder: links too, whose other end Python would follow and this does not."""
    for top in folders:
        for place, below, names in os.walk(top):
            folder = Path(place)
            links = [name for name in below if is_link(folder / name)]
            below[:] = sorted(set(below) - set(links))
            yield from (folder / name for name in sorted([*names, *links]))


def _stamp(path: Path) -> _Stamp:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino


def _altered(version: str, checked: int, findings: list[str]) -> FilesReport:
    told = findings[:MAX_TOLD]
    if len(findings) > MAX_TOLD:
        told.append(f"and {len(findings) - MAX_TOLD} more")
    return FilesReport(
        state=FilesState.ALTERED, version=version, checked=checked, findings=tuple(told)
    )

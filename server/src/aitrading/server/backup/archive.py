"""The inside of a backup: a compressed stream of frames.

    kind (1)  length (4)  content

`B` the marker, `F` a file begins (JSON), `D` bytes of it, `E` it ends, `M` the manifest, which ends
the stream. A file's length need not be known when it begins, so nothing is copied to find it out.
"""

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, TypeVar

import msgspec

from aitrading.core.kit.errors import AitradingError
from aitrading.server.backup.errors import BACKUP_DAMAGED, BACKUP_UNREADABLE
from aitrading.server.backup.manifest import FORMAT, Manifest, Marker, PartSummary
from aitrading.server.backup.sealing import SealedReader, SealedWriter

T = TypeVar("T")
READ_BYTES: Final = 256 << 10
FRAME_BYTES_MAX: Final = 16 << 20
_COMPRESSION: Final = 1
_HEAD_BYTES: Final = 5


class FileBegin(msgspec.Struct, frozen=True, kw_only=True):
    """The frame that begins a file."""

    part: str
    path: str
    mode: int = 0o600


class _FormatOnly(msgspec.Struct):
    format: int


class _Tally:
    """The digest of one part, built the same way by writer and reader."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._digest = hashlib.sha256()
        self._files = 0
        self._size_bytes = 0

    def begin(self, path: str) -> None:
        self._digest.update(b"\0" + path.encode() + b"\0")
        self._files += 1

    def add(self, data: bytes) -> None:
        self._digest.update(len(data).to_bytes(8, "big"))
        self._digest.update(data)
        self._size_bytes += len(data)

    def summary(self) -> PartSummary:
        return PartSummary(
            name=self._name,
            files=self._files,
            size_bytes=self._size_bytes,
            sha256=self._digest.hexdigest(),
        )


class ArchiveWriter:
    """Writes parts one after the other into a sealed stream."""

    def __init__(self, out: SealedWriter, marker: Marker) -> None:
        self._out = out
        self._marker = marker
        self._deflate = zlib.compressobj(_COMPRESSION)
        self._tallies: dict[str, _Tally] = {}
        self._frame(b"B", msgspec.json.encode(marker))

    @property
    def marker(self) -> Marker:
        """The moment this backup stands for."""
        return self._marker

    def add_file(self, part: str, path: str, content: BinaryIO, *, mode: int = 0o600) -> int:
        """Write one file from a stream until that ends; tells its size."""
        tally = self._tallies.setdefault(part, _Tally(part))
        tally.begin(path)
        self._frame(b"F", msgspec.json.encode(FileBegin(part=part, path=path, mode=mode)))
        size = 0
        while data := content.read(READ_BYTES):
            tally.add(data)
            self._frame(b"D", data)
            size += len(data)
        self._frame(b"E", b"")
        return size

    def finish(self) -> Manifest:
        """Write the manifest and end the stream."""
        parts = tuple(tally.summary() for tally in self._tallies.values())
        manifest = Manifest(marker=self._marker, parts=parts)
        self._frame(b"M", msgspec.json.encode(manifest))
        self._out.write(self._deflate.flush())
        self._out.finish()
        return manifest

    def _frame(self, kind: bytes, content: bytes) -> None:
        head = kind + len(content).to_bytes(4, "big")
        self._out.write(self._deflate.compress(head + content))


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """What came out of a backup."""

    manifest: Manifest
    folder: Path


class ArchiveReader:
    """Reads a backup once, from its beginning to its end."""

    def __init__(self, source: SealedReader, path: Path) -> None:
        self._source = source
        self._path = path
        self._inflate = zlib.decompressobj()
        self._buffer = bytearray()
        self._tallies: dict[str, _Tally] = {}
        self.marker = self._read_marker()

    def unpack(self, folder: Path) -> Unpacked:
        """Write every file to `folder/<part>/<path>`; returns when the manifest agrees."""
        for kind, content in self._frames():
            if kind == b"F":
                self._file(folder, self._decode(content, FileBegin))
            elif kind == b"M":
                manifest = self._decode(content, Manifest)
                self._require_whole(manifest)
                return Unpacked(manifest=manifest, folder=folder)
            else:
                raise self._damaged("a file has no beginning")
        raise self._damaged("it has no manifest")

    def _file(self, folder: Path, begin: FileBegin) -> None:
        target = folder / self._safe(begin.part) / self._safe(begin.path)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        tally = self._tallies.setdefault(begin.part, _Tally(begin.part))
        tally.begin(begin.path)
        with target.open("xb") as file:
            target.chmod(begin.mode & 0o755)
            for kind, content in self._frames():
                if kind == b"E":
                    return
                if kind != b"D":
                    break
                tally.add(content)
                file.write(content)
        raise self._damaged(f"{begin.path} does not end")

    def _read_marker(self) -> Marker:
        kind, content = next(self._frames(), (b"", b""))
        if kind != b"B":
            raise self._damaged("it has no marker")
        found = self._decode(content, _FormatOnly).format
        if found != FORMAT:
            reason = f"its format is {found}, this release reads {FORMAT}"
            raise BACKUP_UNREADABLE.error(path=str(self._path), reason=reason)
        return self._decode(content, Marker)

    def _require_whole(self, manifest: Manifest) -> None:
        read = tuple(tally.summary() for tally in self._tallies.values())
        if self._buffer or self._source.read_chunk() is not None:
            raise self._damaged("something follows its manifest")
        if manifest.marker != self.marker or manifest.parts != read:
            raise self._damaged("its parts are not those of its manifest")

    def _frames(self) -> Iterator[tuple[bytes, bytes]]:
        while self._fill(_HEAD_BYTES):
            kind, length = bytes(self._buffer[:1]), int.from_bytes(self._buffer[1:5], "big")
            if length > FRAME_BYTES_MAX or not self._fill(_HEAD_BYTES + length):
                raise self._damaged("a frame is not whole")
            content = bytes(self._buffer[_HEAD_BYTES : _HEAD_BYTES + length])
            del self._buffer[: _HEAD_BYTES + length]
            yield kind, content

    def _fill(self, wanted: int) -> bool:
        """Whether so many bytes are there; inflates in steps, whatever a chunk unpacks to."""
        while len(self._buffer) < wanted:
            compressed = self._inflate.unconsumed_tail or self._source.read_chunk()
            if compressed is None:
                return False
            try:
                self._buffer += self._inflate.decompress(compressed, READ_BYTES)
            except zlib.error as exc:
                raise self._damaged("it does not unpack") from exc
        return True

    def _safe(self, given: str) -> PurePosixPath:
        path = PurePosixPath(given)
        if path.is_absolute() or ".." in path.parts or not path.parts or "\0" in given:
            raise self._damaged("a file would be written outside of the home")
        return path

    def _decode(self, content: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as exc:
            raise self._damaged("a frame cannot be read") from exc

    def _damaged(self, reason: str) -> AitradingError:
        return BACKUP_DAMAGED.error(path=str(self._path), reason=reason)

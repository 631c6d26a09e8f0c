"""The file of a backup: whoever lacks the secret reads nothing, and no change goes unnoticed."""

import io
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from aitrading.core.kit.errors import AitradingError
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_streams import RecoveryKey
from aitrading.server.backup import sealing
from aitrading.server.backup.archive import ArchiveReader, ArchiveWriter
from aitrading.server.backup.errors import (
    BACKUP_DAMAGED,
    BACKUP_KEY_WRONG,
    BACKUP_UNREADABLE,
    SECRET_UNUSABLE,
)
from aitrading.server.backup.manifest import FORMAT, Manifest, Marker
from aitrading.server.backup.sealing import OpenWith, SealedReader, SealedWriter, SealFor
from aitrading.server.backup.secrets_given import (
    private_key_from_file,
    public_key_from_file,
    write_new_key,
)

KEY = RecoveryKey.generate()
SMALL = 256
FILES = {"spool/a.seg": b"tick" * 100, "keys/edge.pem": b"\0" * 3000, "keys/empty": b""}
REFUSALS = {BACKUP_DAMAGED.code, BACKUP_KEY_WRONG.code, BACKUP_UNREADABLE.code}


def marker_of(number: int, *, form: int = FORMAT) -> Marker:
    return Marker(
        format=form,
        backup=UUID(int=number),
        at="2026-01-01T00:00:00.000000Z",
        release="1",
        home="/home",
        migrations=(),
    )


def made(number: int = 1, *, seal_for: SealFor | None = None, form: int = FORMAT) -> bytes:
    file = io.BytesIO()
    to = seal_for or SealFor(recovery_keys=[KEY.public])
    writer = SealedWriter(file, to, chunk_bytes=SMALL)
    archive = ArchiveWriter(writer, marker_of(number, form=form))
    for name, content in FILES.items():
        part, _, path = name.partition("/")
        archive.add_file(part, path, io.BytesIO(content + os.urandom(500)))
    archive.finish()
    return file.getvalue()


def read(data: bytes, folder: Path, open_with: OpenWith | None = None) -> Manifest:
    path = Path("x.aitbackup")
    source = SealedReader(io.BytesIO(data), path, open_with or OpenWith(recovery_key=KEY))
    return ArchiveReader(source, path).unpack(folder).manifest


def refused(data: bytes, folder: Path) -> str:
    with pytest.raises(AitradingError) as caught:
        read(data, folder)
    return caught.value.code


def chunks_of(data: bytes) -> tuple[bytes, list[bytes]]:
    header = 12 + int.from_bytes(data[8:12], "big")
    sealed = SMALL + 16
    return data[:header], [data[i : i + sealed] for i in range(header, len(data), sealed)]


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    manifest = read(made(), tmp_path / "out")
    assert manifest.marker == marker_of(1)
    assert {part.name: part.files for part in manifest.parts} == {"spool": 1, "keys": 2}
    for name, content in FILES.items():
        found = tmp_path / "out" / name
        assert found.read_bytes()[: len(content)] == content
        assert found.stat().st_mode & 0o777 == 0o600


def test_a_flipped_bit_anywhere_is_refused(tmp_path: Path) -> None:
    data = made()
    header, chunks = chunks_of(data)
    places = [*range(len(header)), len(header)]
    places += [
        len(header) + n * (SMALL + 16) + at for n in range(len(chunks)) for at in (0, -1, -17)
    ]
    for number, place in enumerate(places):
        broken = bytearray(data)
        broken[place] ^= 1 << (number % 8)
        assert refused(bytes(broken), tmp_path / f"{number}") in REFUSALS, place


def test_an_end_that_is_missing_is_noticed_also_between_two_chunks(tmp_path: Path) -> None:
    header, chunks = chunks_of(made())
    for kept in range(len(chunks)):
        assert refused(header + b"".join(chunks[:kept]), tmp_path / f"{kept}") == "BACKUP_DAMAGED"
    for cut in (1, 17, SMALL):
        assert refused(made()[:-cut], tmp_path / f"cut{cut}") == "BACKUP_DAMAGED"


def swapped(first: list[bytes], _: list[bytes]) -> list[bytes]:
    return [first[1], first[0], *first[2:]]


def left_out(first: list[bytes], _: list[bytes]) -> list[bytes]:
    return [first[0], *first[2:]]


def from_another(first: list[bytes], second: list[bytes]) -> list[bytes]:
    return [first[0], second[1], *first[2:]]


def lengthened(first: list[bytes], second: list[bytes]) -> list[bytes]:
    return [*first, second[-1]]


def grafted(_: list[bytes], second: list[bytes]) -> list[bytes]:
    return second


@pytest.mark.parametrize("change", [swapped, left_out, from_another, lengthened, grafted])
def test_chunks_open_at_their_own_place_of_their_own_backup_only(
    change: Callable[[list[bytes], list[bytes]], list[bytes]], tmp_path: Path
) -> None:
    (header, first), (_, second) = chunks_of(made(1)), chunks_of(made(2))
    assert refused(header + b"".join(change(first, second)), tmp_path / "out") == "BACKUP_DAMAGED"


def test_a_wrong_secret_opens_nothing_and_a_right_one_does(tmp_path: Path) -> None:
    words = Secret("correct horse battery")
    both = made(seal_for=SealFor(passphrase=words, recovery_keys=[KEY.public]))
    assert read(both, tmp_path / "a", OpenWith(passphrase=words)).marker == marker_of(1)
    assert read(both, tmp_path / "b").marker == marker_of(1)
    for wrong in (
        OpenWith(passphrase=Secret("correct horse batterz")),
        OpenWith(recovery_key=RecoveryKey.generate()),
        OpenWith(),
    ):
        with pytest.raises(AitradingError) as caught:
            read(both, tmp_path / "c", wrong)
        assert caught.value.code == BACKUP_KEY_WRONG.code
    with pytest.raises(AitradingError) as caught:
        made(seal_for=SealFor())
    assert caught.value.code == SECRET_UNUSABLE.code


def test_a_hostile_header_cannot_demand_a_costly_key() -> None:
    way = sealing.WrappedKey(kind="passphrase", wrapped=b"x", salt=b"y", cost=1 << 40)
    header = sealing.Header(chunk_bytes=SMALL, keys=(way,))
    assert OpenWith(passphrase=Secret("anything at all")).unwrap(header) is None


def test_a_newer_format_is_named(tmp_path: Path) -> None:
    assert refused(made(form=FORMAT + 1), tmp_path / "out") == BACKUP_UNREADABLE.code


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b", "a\0b", "."])
def test_a_file_cannot_leave_its_folder(path: str, tmp_path: Path) -> None:
    file = io.BytesIO()
    archive = ArchiveWriter(SealedWriter(file, SealFor(recovery_keys=[KEY.public])), marker_of(1))
    archive.add_file("spool", path, io.BytesIO(b"x"))
    archive.finish()
    assert refused(file.getvalue(), tmp_path / "out") == BACKUP_DAMAGED.code
    assert not list(tmp_path.rglob("*outside*"))


def test_memory_stays_flat_whatever_a_part_holds(tmp_path: Path) -> None:
    class Endless(io.RawIOBase):
        left = 24 << 20

        def read(self, size: int = -1) -> bytes:
            size = min(size, self.left)
            self.left -= size
            return os.urandom(1024) * (size // 1024)

    path = tmp_path / "big"
    tracemalloc.start()
    with path.open("wb") as file:
        archive = ArchiveWriter(
            SealedWriter(file, SealFor(recovery_keys=[KEY.public])), marker_of(1)
        )
        archive.add_file("spool", "big", Endless())  # type: ignore[arg-type]
        archive.finish()
    with path.open("rb") as file:
        source = SealedReader(file, path, OpenWith(recovery_key=KEY))
        ArchiveReader(source, path).unpack(tmp_path / "out")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "out/spool/big").stat().st_size == 24 << 20
    assert peak < 12 << 20


def test_a_recovery_key_is_two_files_of_which_one_is_private(tmp_path: Path) -> None:
    private = tmp_path / "key"
    public = write_new_key(private)
    assert public_key_from_file(public) == private_key_from_file(private).public
    assert private.stat().st_mode & 0o777 == 0o600
    with pytest.raises(AitradingError):
        private_key_from_file(public)
    with pytest.raises(AitradingError):
        write_new_key(private)


def test_the_header_tells_nothing_but_the_ways_to_the_key() -> None:
    header, _ = chunks_of(made())
    assert set(msgspec.json.decode(header[12:])) == {"chunk_bytes", "keys"}

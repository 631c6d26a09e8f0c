"""Files that lie sealed: under a key of the file's own, or of the installation's.

A *file key* lies apart from the data (a server's `keys/files`, a client's `identity`). It never
seals content itself. A file that grows gets a key of its own, wrapped by the newest file key; a
small file is sealed under a key derived from it for that purpose. A sealed file names its file key
by a digest, so a key that is not here is told from damage before anything is opened.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity
from aitrading.core.kit.secret import Secret
from aitrading.core.security.crypto_fields import NONCE_BYTES, TAG_BYTES, FieldKey, derived_key

KEY_ID_BYTES: Final = 16
WRAPPED_BYTES: Final = NONCE_BYTES + 32 + TAG_BYTES
FILE_MAGIC: Final = b"AITSEAL1"
_LABEL: Final = b"aitrading/file/v1/"

FILE_KEY_MISSING: Final = ErrorSpec(
    code="FILE_KEY_MISSING",
    category=Category.FATAL,
    message="{what} is sealed under file key {key}, which is not here.",
    why="The file is of another installation, or its key was deleted or not restored with it.",
    remedy="Restore the key file (a server's `keys/files`, a client's `identity/files.key`) from "
    "the backup that the file is from. Nothing was changed or set aside.",
    severity=Severity.CRITICAL,
    impact=Impact.MARKET_DATA,
)
FILE_UNREADABLE: Final = ErrorSpec(
    code="FILE_UNREADABLE",
    category=Category.FATAL,
    message="{what} does not open under its own key.",
    why="It was changed after it was sealed, or takes the place of another file.",
    remedy="Find out who wrote to the folder; restore the file from a backup.",
    severity=Severity.CRITICAL,
    impact=Impact.MARKET_DATA,
)


@dataclass(frozen=True, kw_only=True)
class WrappedKey:
    """The key of one file as it stands in that file."""

    key_id: bytes
    wrapped: bytes


class FileKeys:
    """The file keys of one home; the last one that `load` gives seals, every one opens.

    They are loaded for each new file, so that a rotation counts from the next file on.
    """

    def __init__(self, load: Callable[[], Sequence[Secret[bytes]]]) -> None:
        self._load = load
        self._known: dict[bytes, _FileKey] = {}
        self._refresh()

    def new_key(self, *, bound_to: bytes) -> tuple[FieldKey, WrappedKey]:
        """Draw the key of a new file; `bound_to` says which file that is."""
        newest, drawn = self._refresh(), FieldKey.generate()
        wrapped = newest.wrapper.seal(drawn.reveal(), bound_to=bound_to)
        return FieldKey(drawn), WrappedKey(key_id=newest.key_id, wrapped=wrapped)

    def unwrap(self, wrapped: WrappedKey, *, bound_to: bytes, what: str) -> FieldKey:
        """The key of a file; raises `FILE_KEY_MISSING`, or `FILE_UNREADABLE` for a changed one."""
        key = self._find(wrapped.key_id, what)
        plain = key.wrapper.open(wrapped.wrapped, bound_to=bound_to)
        if plain is None:
            raise FILE_UNREADABLE.error(what=what)
        return FieldKey(Secret(plain))

    def require(self, key_id: bytes, *, what: str) -> None:
        """Raise `FILE_KEY_MISSING` when what was sealed under this key cannot be opened here."""
        self._find(key_id, what)

    def seal(self, plain: bytes, *, name: str) -> bytes:
        """A small file's content; it opens under the same name only."""
        newest = self._refresh()
        return FILE_MAGIC + newest.key_id + newest.sealer.seal(plain, bound_to=name.encode())

    def open(self, sealed: bytes, *, name: str) -> bytes:
        """What was sealed; raises `FILE_KEY_MISSING` or `FILE_UNREADABLE`."""
        body = len(FILE_MAGIC) + KEY_ID_BYTES
        if not is_sealed(sealed) or len(sealed) < body:
            raise FILE_UNREADABLE.error(what=name)
        key = self._find(sealed[len(FILE_MAGIC) : body], name)
        plain = key.sealer.open(sealed[body:], bound_to=name.encode())
        if plain is None:
            raise FILE_UNREADABLE.error(what=name)
        return plain

    def _find(self, key_id: bytes, what: str) -> "_FileKey":
        if key_id not in self._known:
            self._refresh()
        if key_id not in self._known:
            raise FILE_KEY_MISSING.error(what=what, key=key_id.hex())
        return self._known[key_id]

    def _refresh(self) -> "_FileKey":
        """Load what is there now; gives the newest."""
        ids = [self._known_as(key) for key in self._load()]
        return self._known[ids[-1]]

    def _known_as(self, key: Secret[bytes]) -> bytes:
        key_id = _id_of(key)
        if key_id not in self._known:
            self._known[key_id] = _FileKey(
                key_id=key_id,
                wrapper=FieldKey(derived_key(key, purpose=_LABEL + b"wrap")),
                sealer=FieldKey(derived_key(key, purpose=_LABEL + b"small")),
            )
        return key_id


@dataclass(frozen=True, kw_only=True)
class _FileKey:
    key_id: bytes
    wrapper: FieldKey
    sealer: FieldKey


def is_sealed(data: bytes) -> bool:
    """Whether a small file was written by `FileKeys.seal`."""
    return data.startswith(FILE_MAGIC)


def _id_of(key: Secret[bytes]) -> bytes:
    """Names a key and tells nothing of it: it is 256 bits of randomness."""
    return hashlib.sha256(_LABEL + b"id" + key.reveal()).digest()[:KEY_ID_BYTES]

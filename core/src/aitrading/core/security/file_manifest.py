"""The list of a release's files, signed by whoever releases it.

    {"manifest": "<JSON text>", "signature": "<base64url>", "key": "<hexadecimal>"}

The text is checked before it is parsed. What it proves: these bytes are the released ones. What it
does not prove: that the program that checks is itself unchanged; somebody who may write the files
may change the check as well. So the server bars what reports damage, and believes no praise.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity
from aitrading.core.security.crypto import SigningKey, VerifyKey
from aitrading.core.security.encoding import base64url_decode, base64url_encode

LABEL: Final = b"aitrading/file-manifest/v1\0"
MAX_BYTES: Final = 16 * 1024 * 1024
MAX_FILES: Final = 100_000
CACHE_FOLDER: Final = "__pycache__"
WHOLE: Final = "."
_CHUNK_BYTES: Final = 1024 * 1024

MANIFEST_DAMAGED: Final = ErrorSpec(
    code="MANIFEST_DAMAGED",
    category=Category.FATAL,
    message="The list of released files cannot be used: {reason}.",
    why="It was changed or cut after it was signed, or it is of another program.",
    remedy="Install the release again from a trusted copy.",
    severity=Severity.CRITICAL,
    impact=Impact.NEW_EXPOSURE,
)


class ListedFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One file as it was released."""

    path: str
    """Relative to the installation, with `/`."""
    size: int
    sha256: str


class FileManifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every file of a release."""

    version: str
    made_ms: int
    folders: tuple[str, ...]
    """Whatever lies in them and is not listed was added by somebody; `.` is the whole installation."""
    files: tuple[ListedFile, ...]


class _Signed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    manifest: str
    signature: str
    key: str


def listed(
    root: Path, folders: Collection[str], *, but: Collection[str] = (), caches: bool = False
) -> list[ListedFile]:
    """The files below some folders of an installation; caches of compiled code only if wanted."""
    found = (path for folder in folders for path in sorted((root / folder).rglob("*")))
    names = {path.relative_to(root).as_posix(): path for path in found if path.is_file()}
    return [
        ListedFile(path=name, size=path.stat().st_size, sha256=digest_of(path))
        for name, path in names.items()
        if name not in but and (caches or CACHE_FOLDER not in PurePosixPath(name).parts)
    ]


def digest_of(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def signed_manifest(manifest: FileManifest, key: SigningKey) -> bytes:
    """The manifest as a file."""
    text = msgspec.json.encode(manifest)
    signed = _Signed(
        manifest=text.decode(),
        signature=base64url_encode(key.sign(LABEL + text)),
        key=key.public.raw.hex(),
    )
    return msgspec.json.encode(signed)


def opened_manifest(data: bytes, *, accepted: Collection[str]) -> FileManifest:
    """Check and read a manifest; raises `MANIFEST_DAMAGED`.

    `accepted` are the pinned public keys, hexadecimal.
    """
    if len(data) > MAX_BYTES:
        raise MANIFEST_DAMAGED.error(reason="it is too large")
    try:
        signed = msgspec.json.decode(data, type=_Signed)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise MANIFEST_DAMAGED.error(reason="it cannot be read") from exc
    if signed.key not in accepted:
        raise MANIFEST_DAMAGED.error(reason="it is signed by a key that is not pinned here")
    text = signed.manifest.encode()
    if not _verifies(signed, LABEL + text):
        raise MANIFEST_DAMAGED.error(reason="its signature is wrong")
    try:
        manifest = msgspec.json.decode(text, type=FileManifest)
    except msgspec.DecodeError as exc:
        raise MANIFEST_DAMAGED.error(reason="it is of another version of this program") from exc
    if len(manifest.files) > MAX_FILES or not all(_is_inside(each) for each in _paths(manifest)):
        raise MANIFEST_DAMAGED.error(reason="it lists what cannot belong to an installation")
    return manifest


def _verifies(signed: _Signed, message: bytes) -> bool:
    try:
        signature = base64url_decode(signed.signature)
        return VerifyKey(bytes.fromhex(signed.key)).verify(signature, message)
    except ValueError:
        return False


def _paths(manifest: FileManifest) -> list[str]:
    return [
        *(folder for folder in manifest.folders if folder != WHOLE),
        *(file.path for file in manifest.files),
    ]


def _is_inside(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return bool(parts) and not path.startswith("/") and ".." not in parts and "\\" not in path

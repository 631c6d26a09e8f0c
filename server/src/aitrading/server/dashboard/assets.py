"""Static files under a fingerprint of all of them: cached for a year, never stale."""

import gzip
import hashlib
import mimetypes
from functools import lru_cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "static"
PREFIX = "/static"
_FINGERPRINT_DIGITS = 16
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css"}
_FOREVER = "public, max-age=31536000, immutable"
_GZIP_FROM_BYTES = 1_024


class Assets:
    """The files of one release.

    Modules import each other by relative path, so one fingerprint in the folder covers them all.
    """

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): path
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        self.fingerprint = _fingerprint(self._files)
        self._compressed = lru_cache(maxsize=len(self._files))(self._compress)

    def url(self, name: str) -> str:
        """The address of a file; raises KeyError for a file that is not there."""
        _ = self._files[name]
        return f"{PREFIX}/{self.fingerprint}/{name}"

    def route(self) -> Route:
        """Serves the files of this release and no other path."""
        return Route(f"{PREFIX}/{{fingerprint}}/{{name:path}}", self._serve, methods=["GET"])

    async def _serve(self, request: Request) -> Response:
        path = self._files.get(request.path_params["name"])
        if path is None or request.path_params["fingerprint"] != self.fingerprint:
            return Response("not in this release; reload the page", 404, media_type="text/plain")
        headers = {"cache-control": _FOREVER, "vary": "accept-encoding"}
        content = path.read_bytes()
        if len(content) >= _GZIP_FROM_BYTES and "gzip" in request.headers.get(
            "accept-encoding", ""
        ):
            headers["content-encoding"] = "gzip"
            content = self._compressed(path)
        return Response(content, headers=headers, media_type=media_type(path))

    @staticmethod
    def _compress(path: Path) -> bytes:
        return gzip.compress(path.read_bytes(), compresslevel=6, mtime=0)


def media_type(path: Path) -> str:
    """By suffix; the machine's own table is asked last, since it differs from host to host."""
    return _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "text/plain"


def _fingerprint(files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in files.items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:_FINGERPRINT_DIGITS]

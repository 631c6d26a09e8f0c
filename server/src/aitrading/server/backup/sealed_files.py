"""Whether what lies sealed in a home can be opened with the keys of that home."""

from pathlib import Path
from typing import Final

from aitrading.core.infrastructure.segment_codecs import unwrapped
from aitrading.core.infrastructure.segment_files import sealed_headers
from aitrading.core.security.file_sealing import FileKeys, is_sealed
from aitrading.server.backup.parts import FOLDERS
from aitrading.server.database_service.ticks.quarantine import COPY_SUFFIX
from aitrading.server.personal_data.file_keys import FILES_FOLDER, FileKeyFolder

DEVELOPMENT: Final = "development"


def require_openable(home: Path) -> None:
    """Raise `FILE_KEY_MISSING`, or what says which file was changed.

    Each segment's own key is opened, each quarantined copy whole.
    """
    spools = (path for path in (home / FOLDERS["spool"]).glob("*") if path.is_dir())
    headers = [header for spool in spools for header in sealed_headers(spool)]
    copies = sorted((home / FOLDERS["quarantine"]).glob(f"*{COPY_SUFFIX}"))
    if not headers and not copies:
        return  # a backup from before files were sealed may have no file key
    keys = FileKeys(FileKeyFolder(home / "keys" / FILES_FOLDER, environment=DEVELOPMENT).in_order)
    for header in headers:
        unwrapped(header, keys)
    for copy in copies:
        content = copy.read_bytes()
        if is_sealed(content):
            keys.open(content, name=copy.stem)

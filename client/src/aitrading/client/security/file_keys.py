"""The client's file key: `identity/files.key`, beside the device's own, readable by its owner only.

It seals what the client writes of its customer's trading: the journal and the state of its streams.
"""

import secrets
from pathlib import Path
from typing import Final

from aitrading.client.security.device_files import FOLDER
from aitrading.client.security.errors import DEVICE_FILES_DAMAGED
from aitrading.core.infrastructure.files import make_private_folder, write_atomically
from aitrading.core.kit.secret import Secret
from aitrading.core.security.file_sealing import FileKeys

FILE_NAME: Final = "files.key"
KEY_BYTES: Final = 32


def client_file_keys(home: Path) -> FileKeys:
    """The key of this home, made at its first use; raises `DEVICE_FILES_DAMAGED`."""
    path = home / FOLDER / FILE_NAME
    if not path.exists():
        make_private_folder(path.parent)
        write_atomically(path, secrets.token_bytes(KEY_BYTES))
    raw = path.read_bytes()
    if len(raw) != KEY_BYTES:
        reason = f"{FILE_NAME} is not a key of {KEY_BYTES} bytes"
        raise DEVICE_FILES_DAMAGED.error(home=str(home), reason=reason)
    return FileKeys(lambda: [Secret(raw)])

"""File keys of the installation: `keys/files`, which seal the files that services write."""

from typing import Final

from aitrading.core.security.file_sealing import FileKeys
from aitrading.server.authority.errors import KEY_MISSING
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.personal_data.masters import MasterFolder

FILES_FOLDER: Final = "files"


class FileKeyFolder(MasterFolder):
    """The folder of file keys; the newest seals, all open."""


def file_key_folder_of(bundle: ServiceBundle) -> FileKeyFolder:
    """Where the file keys are; raises `KEY_MISSING` for a service that may not have them."""
    if bundle.file_keys is None:
        raise KEY_MISSING.error(name="file_keys", folder=f"the bundle of {bundle.service}")
    return FileKeyFolder(bundle.file_keys, environment=bundle.environment)


def file_keys_of(bundle: ServiceBundle) -> FileKeys:
    """A provider for the container of a service."""
    return FileKeys(file_key_folder_of(bundle).in_order)

"""What a service process needs to read personal data: the folder of keys that its bundle names."""

from aitrading.server.authority.errors import KEY_MISSING
from aitrading.server.kit.bundle import ServiceBundle
from aitrading.server.personal_data.keys import FieldKeys
from aitrading.server.personal_data.masters import MasterFolder


def masters_of(bundle: ServiceBundle) -> MasterFolder:
    """Where the master keys are; raises `KEY_MISSING` for a service that may not have them."""
    if bundle.field_keys is None:
        raise KEY_MISSING.error(name="field_keys", folder=f"the bundle of {bundle.service}")
    return MasterFolder(bundle.field_keys, environment=bundle.environment)


def field_keys_of(bundle: ServiceBundle) -> FieldKeys:
    """A provider for the container of a service."""
    return FieldKeys(masters_of(bundle).load)

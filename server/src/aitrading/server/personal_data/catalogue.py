"""The inventory of personal data: every column that holds some, and how it is kept.

A value that identifies a person or a person's account is sealed and listed here; the reference
document is made from this list, and `tests/e2e/test_personal_data.py` looks through everything a
running platform wrote for values that are not sealed.
"""

from dataclasses import dataclass
from typing import Final

from aitrading.core.security.field_encryption import SealedField


@dataclass(frozen=True, kw_only=True)
class PersonalData(SealedField):
    """One sealed column: its values are in `<column>_sealed`."""

    holds: str
    found_by: str | None = None
    """What a row is found by: `<column>_index` is a keyed digest of this."""


USER_NAME: Final = PersonalData(
    table="identity.users",
    column="name",
    holds="The login name of a person.",
    found_by="the name",
)
USER_DISPLAY_NAME: Final = PersonalData(
    table="identity.users", column="display_name", holds="What a person is called on the page."
)
TOTP_SECRET: Final = PersonalData(
    table="identity.totp",
    column="secret",
    holds="The secret that a person's authenticator app makes codes from.",
)
SECURITY_KEY_NAME: Final = PersonalData(
    table="identity.security_keys",
    column="name",
    holds="What a person called their security key.",
)
DEVICE_NAME: Final = PersonalData(
    table="identity.devices",
    column="name",
    holds="What a person called their computer.",
    found_by="the name",
)
CREDENTIAL_SHARE: Final = PersonalData(
    table="identity.credential_shares",
    column="share",
    holds="The server's half of the key of a broker login that a device stores.",
)
ACCOUNT_NAME: Final = PersonalData(
    table="identity.accounts", column="name", holds="What a person called their broker account."
)
ACCOUNT_LOGIN: Final = PersonalData(
    table="identity.accounts",
    column="login",
    holds="The number of a broker account.",
    found_by="the broker's server and the number",
)
CATALOGUE: Final = (
    USER_NAME,
    USER_DISPLAY_NAME,
    TOTP_SECRET,
    SECURITY_KEY_NAME,
    DEVICE_NAME,
    CREDENTIAL_SHARE,
    ACCOUNT_NAME,
    ACCOUNT_LOGIN,
)

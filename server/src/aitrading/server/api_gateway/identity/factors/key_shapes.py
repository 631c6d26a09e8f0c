"""What a browser's WebAuthn takes and gives, as JSON (`toJSON`, `parse…OptionsFromJSON`)."""

from datetime import datetime
from typing import ClassVar, Literal
from uuid import UUID

import msgspec

BROWSERS_TELL_MORE = "browsers add members as WebAuthn grows"


class RelyingParty(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a key is for: a name of this installation."""

    id: str
    name: str


class KeyOwner(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose key it is going to be, as the browser shows it."""

    id: str
    name: str
    display_name: str


class KeyAlgorithm(msgspec.Struct, frozen=True, kw_only=True):
    """A signature that is understood here (COSE)."""

    alg: int
    type: Literal["public-key"] = "public-key"


class KnownKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key that the person has."""

    id: str
    type: Literal["public-key"] = "public-key"


class KeyChoice(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which keys are welcome: any, and a PIN or a finger where the key has one."""

    resident_key: Literal["discouraged"] = "discouraged"
    user_verification: Literal["preferred"] = "preferred"


class NewKeyOptions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """For `navigator.credentials.create`."""

    rp: RelyingParty
    user: KeyOwner
    challenge: str
    pub_key_cred_params: tuple[KeyAlgorithm, ...]
    exclude_credentials: tuple[KnownKey, ...]
    timeout: int
    authenticator_selection: KeyChoice = KeyChoice()
    attestation: Literal["none"] = "none"


class SignOptions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """For `navigator.credentials.get`."""

    rp_id: str
    challenge: str
    allow_credentials: tuple[KnownKey, ...]
    timeout: int
    user_verification: Literal["preferred"] = "preferred"


class MadeKeyResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the key made and signed."""

    TOLERATES: ClassVar = BROWSERS_TELL_MORE

    client_data_json: str = msgspec.field(name="clientDataJSON")
    attestation_object: str


class MadeKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of `navigator.credentials.create`; browsers tell more, which is not looked at."""

    TOLERATES: ClassVar = BROWSERS_TELL_MORE

    id: str
    raw_id: str
    response: MadeKeyResponse
    type: Literal["public-key"]


class SignedResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the key signed."""

    TOLERATES: ClassVar = BROWSERS_TELL_MORE

    client_data_json: str = msgspec.field(name="clientDataJSON")
    authenticator_data: str
    signature: str


class SignedByKey(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer of `navigator.credentials.get`; browsers tell more, which is not looked at."""

    TOLERATES: ClassVar = BROWSERS_TELL_MORE

    id: str
    raw_id: str
    response: SignedResponse
    type: Literal["public-key"]


class AddKey(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A key that was just made, and what its owner calls it."""

    name: str
    key: MadeKey


class WaitingLogin(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The challenge of a login whose second step a key is to make."""

    challenge: str


class SecurityKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as its owner sees it."""

    id: UUID
    name: str
    host: str
    """The name of the installation that the key is for."""
    added_at: datetime
    used_at: datetime | None

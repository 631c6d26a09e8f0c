"""Recovery codes: ten, each good for one login when the other factors are lost.

A code has 80 random bits, so nobody finds one by guessing: a slow hash would protect nothing, and
would cost ten of them at each attempt. What is stored is HMAC-SHA256 under a key of the
organisation (`TenantFields.index`), bound to the person: a copy of the database alone does not
even allow to try, and an erased organisation's codes are noise.
"""

import base64
import re
from typing import Final
from uuid import UUID

from aitrading.core.kit.randomness import Randomness
from aitrading.core.security.field_encryption import SealedField, TenantFields

COUNT: Final = 10
CODE_BYTES: Final = 10
_GROUP: Final = 4
_FIELD: Final = SealedField(table="identity.recovery_codes", column="code")
_FORM: Final = re.compile(r"[A-Z2-7]{16}")


def generate_codes(randomness: Randomness) -> tuple[str, ...]:
    """New codes as people see them: four groups of four characters."""
    texts = (base64.b32encode(randomness.token(CODE_BYTES)).decode() for _ in range(COUNT))
    return tuple(
        "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP)) for text in texts
    )


def normalised_code(typed: str) -> str | None:
    """The one spelling; None for what cannot be a recovery code."""
    text = re.sub(r"[\s-]", "", typed).upper()
    return text if _FORM.fullmatch(text) else None


def index_of(fields: TenantFields, user: UUID, code: str) -> bytes:
    """What is stored and looked for; `code` in its one spelling."""
    return fields.index(_FIELD, str(user), code)

"""What the database security policy refuses."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

DATABASE_URL_MALFORMED: Final = ErrorSpec(
    code="DATABASE_URL_MALFORMED",
    category=Category.FATAL,
    message="The address of the {store} server is not usable: {problem}.",
    why="The setting holds something that is not a complete server address.",
    remedy="Write a complete address (the field `example` shows one); percent-encode special characters in user and password.",
    severity=Severity.CRITICAL,
)
DATABASE_PLAINTEXT_REFUSED: Final = ErrorSpec(
    code="DATABASE_PLAINTEXT_REFUSED",
    category=Category.FATAL,
    message="The address of the {store} server asks for {what}, which is refused.",
    why="Data would cross a network readable, or an impostor could answer in the server's name.",
    remedy="Give the server a certificate and use an encrypted address (field `example`).",
    severity=Severity.CRITICAL,
    impact=Impact.EVIDENCE,
)
DATABASE_ROLE_TOO_STRONG: Final = ErrorSpec(
    code="DATABASE_ROLE_TOO_STRONG",
    category=Category.FATAL,
    message="The database role {role} may {power}, so the wall between tenants would not hold.",
    why="Row security does not apply to superusers, to BYPASSRLS roles, or to table owners.",
    remedy="Log in with a role made for one service (NOSUPERUSER NOBYPASSRLS, owning nothing).",
    severity=Severity.CRITICAL,
    impact=Impact.EVIDENCE,
)

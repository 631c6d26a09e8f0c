"""Refusals of the security layer; none of them tells an attacker which check failed in detail."""

from aitrading.core.kit.errors import Category, ErrorSpec, Impact, Severity

KEY_INVALID = ErrorSpec(
    code="KEY_INVALID",
    category=Category.FATAL,
    message="A key could not be read: expected {expected}.",
    why="The file is damaged, or it holds another kind of key.",
    remedy="Restore the key from its backup, or enrol or initialise again.",
    severity=Severity.CRITICAL,
    impact=Impact.TRADING,
)
CERTIFICATE_INVALID = ErrorSpec(
    code="CERTIFICATE_INVALID",
    category=Category.DENIED,
    message="A certificate could not be accepted: {reason}.",
    why="It is damaged, or it was not issued by this installation for this purpose.",
    remedy="Run `aitrading doctor` on the host, or enrol the device again.",
    http_status=400,
    severity=Severity.WARNING,
)
CSR_INVALID = ErrorSpec(
    code="CSR_INVALID",
    category=Category.DENIED,
    message="The certificate request could not be accepted: {reason}.",
    why="A request must be PEM, signed by its own P-256 key, and at most 8 KiB.",
    remedy="Create the request with `aitrading-client enroll`.",
    http_status=400,
    severity=Severity.INFO,
)
IDENTITY_MALFORMED = ErrorSpec(
    code="IDENTITY_MALFORMED",
    category=Category.DENIED,
    message="A workload identity is not of this installation.",
    why="Identities are `spiffe://aitrading/service/NAME` or `…/tenant/ID/device/ID`.",
    remedy="Issue the certificate again; do not edit identities by hand.",
    http_status=403,
    severity=Severity.WARNING,
)
ENROLMENT_CODE_MALFORMED = ErrorSpec(
    code="ENROLMENT_CODE_MALFORMED",
    category=Category.DENIED,
    message="This is not a complete enrolment code.",
    why="The code was cut while copying; it starts with `ait1.` and has four parts.",
    remedy="Copy the whole code, or ask for a new one: `aitrading device invite`.",
    http_status=400,
    severity=Severity.INFO,
)
SERVER_NOT_TRUSTED = ErrorSpec(
    code="SERVER_NOT_TRUSTED",
    category=Category.DENIED,
    message="The server is not the one the enrolment code was made for.",
    why="The fingerprint of its certificate authority differs: a wrong address or an attack.",
    remedy="Check the address with your administrator. Nothing secret was sent.",
    http_status=403,
    severity=Severity.CRITICAL,
)
TOKEN_REFUSED = ErrorSpec(
    code="TOKEN_REFUSED",
    category=Category.DENIED,
    message="The access token was refused.",
    why="It is expired, not for this service, not signed by this installation, or revoked.",
    remedy="Log in again, or ask for a new token with `aitrading token`.",
    http_status=401,
    severity=Severity.INFO,
)
TOKEN_MISSING = ErrorSpec(
    code="TOKEN_MISSING",
    category=Category.DENIED,
    message="This needs a login.",
    why="The request carried neither a session cookie nor an `Authorization: Bearer` header.",
    remedy="Log in, or send a token made with `aitrading token`.",
    http_status=401,
    severity=Severity.DEBUG,
)
SCOPE_MISSING = ErrorSpec(
    code="SCOPE_MISSING",
    category=Category.DENIED,
    message="This needs the scope `{scope}`.",
    why="Your role does not include it.",
    remedy="Ask an owner of your organisation to give you a role that includes it.",
    http_status=403,
    severity=Severity.INFO,
)

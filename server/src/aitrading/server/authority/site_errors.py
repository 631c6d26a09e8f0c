"""Why a certificate of a public authority is not taken; nothing was changed then."""

from typing import Final

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

SITE_CERTIFICATE_UNREADABLE: Final = ErrorSpec(
    code="SITE_CERTIFICATE_UNREADABLE",
    category=Category.DENIED,
    message="The {what} cannot be taken: {problem}.",
    why="Both files must be PEM: the chain with the certificate first, and its key without a passphrase.",
    remedy="Give the files that the authority's client wrote (`fullchain.pem`, `privkey.pem`); "
    "take a passphrase off with `openssl pkey -in FILE -out NEW`.",
    http_status=400,
    severity=Severity.INFO,
)
SITE_KEY_MISMATCH: Final = ErrorSpec(
    code="SITE_KEY_MISMATCH",
    category=Category.DENIED,
    message="The key is not that of the first certificate, {subject}.",
    why="The files are of different requests, or the chain begins with the authority's certificate.",
    remedy="Give the key that the certificate was asked for with, and put that certificate first.",
    http_status=400,
    severity=Severity.INFO,
)
SITE_CERTIFICATE_WEAK: Final = ErrorSpec(
    code="SITE_CERTIFICATE_WEAK",
    category=Category.DENIED,
    message="{subject} cannot be shown: {problem}.",
    why="Browsers refuse it, or the edge cannot serve it.",
    remedy="Ask for a certificate with a key of P-256, P-384 or RSA of 2048 to 4096 bits.",
    http_status=400,
    severity=Severity.INFO,
)
SITE_CHAIN_BROKEN: Final = ErrorSpec(
    code="SITE_CHAIN_BROKEN",
    category=Category.DENIED,
    message="The chain is not complete and in order: {problem}.",
    why="Each certificate must be followed by that of its issuer, up to one that this machine "
    "trusts; browsers do not look for what is missing.",
    remedy="Give the whole chain (`fullchain.pem`). For an authority of your own put its root at the "
    "end of the file.",
    http_status=400,
    severity=Severity.INFO,
)
SITE_CERTIFICATE_NOT_VALID_NOW: Final = ErrorSpec(
    code="SITE_CERTIFICATE_NOT_VALID_NOW",
    category=Category.DENIED,
    message="{subject} is valid from {begins} to {ends}, which is not now.",
    why="It has ended or not begun, or the clock of this machine is wrong.",
    remedy="Look at the clock, then get a new certificate.",
    http_status=400,
    severity=Severity.INFO,
)
SITE_CERTIFICATE_OF_OTHERS: Final = ErrorSpec(
    code="SITE_CERTIFICATE_OF_OTHERS",
    category=Category.DENIED,
    message="{subject} is not for this installation: {problem}.",
    why="Browsers take it only for its own names, and only if it is for servers.",
    remedy="Ask for one with a name of `gateway.hosts`, or add its name there and start again.",
    http_status=400,
    severity=Severity.INFO,
)
SITE_REFUSALS: Final = (
    SITE_CERTIFICATE_UNREADABLE,
    SITE_KEY_MISMATCH,
    SITE_CERTIFICATE_WEAK,
    SITE_CHAIN_BROKEN,
    SITE_CERTIFICATE_NOT_VALID_NOW,
    SITE_CERTIFICATE_OF_OTHERS,
)

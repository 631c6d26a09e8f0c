"""Refusals of identity. A failed login has one answer, whatever the reason."""

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

LOGIN_REFUSED = ErrorSpec(
    code="LOGIN_REFUSED",
    category=Category.DENIED,
    message="The login was refused.",
    why="Organisation, user or password is wrong, the user may not log in, or the password was made "
    "for the user and was not used in time.",
    remedy="Try again, or let an administrator run `aitrading user reset-password`.",
    http_status=401,
    severity=Severity.INFO,
)
LOGIN_THROTTLED = ErrorSpec(
    code="LOGIN_THROTTLED",
    category=Category.RETRYABLE,
    message="Too many failed logins; the next try is accepted in {retry_after_s} s.",
    why="Each failure makes the next wait longer, so that nobody can guess passwords.",
    remedy="Wait, then try again. Nothing is locked: a correct login works after the wait.",
    http_status=429,
    severity=Severity.INFO,
)
CODE_REFUSED = ErrorSpec(
    code="CODE_REFUSED",
    category=Category.DENIED,
    message="The one-time code was refused.",
    why="It was used already, is too old, or was never given out.",
    remedy="Ask for a new one: `aitrading user link` or `aitrading device invite`.",
    http_status=403,
    severity=Severity.INFO,
)
REFRESH_RACED = ErrorSpec(
    code="REFRESH_RACED",
    category=Category.RETRYABLE,
    message="The session was renewed by another request at the same moment.",
    why="Two tabs of one browser renewed together; the other one got the new cookie.",
    remedy="Repeat the request: the cookie is already the new one.",
    http_status=409,
    severity=Severity.DEBUG,
)
IDENTITY_UNKNOWN = ErrorSpec(
    code="IDENTITY_UNKNOWN",
    category=Category.DENIED,
    message="There is no {kind} `{name}`.",
    why="It is misspelt, or it belongs to another organisation.",
    remedy="List what exists: `aitrading tenant list`, `user list`, `device list`.",
    http_status=404,
    severity=Severity.INFO,
)
IDENTITY_EXISTS = ErrorSpec(
    code="IDENTITY_EXISTS",
    category=Category.DENIED,
    message="The {kind} `{name}` exists already.",
    why="A name is unique: an organisation's on the platform, all others in the organisation.",
    remedy="Use another name, or change the existing one.",
    http_status=409,
    severity=Severity.INFO,
)
IDENTITY_INVALID = ErrorSpec(
    code="IDENTITY_INVALID",
    category=Category.DENIED,
    message="{field} is not accepted: {reason}.",
    why="A value has another form than documented.",
    remedy="Correct it and try again.",
    http_status=422,
    severity=Severity.DEBUG,
)
API_KEY_REFUSED = ErrorSpec(
    code="API_KEY_REFUSED",
    category=Category.DENIED,
    message="The key was refused.",
    why="It is wrong, too old or revoked, its organisation is suspended, or a key that signs came "
    "without its proof.",
    remedy="Look at it with `aitrading apikey list`, or make a new one: `aitrading apikey create`.",
    http_status=401,
    severity=Severity.INFO,
)
API_KEY_THROTTLED = ErrorSpec(
    code="API_KEY_THROTTLED",
    category=Category.RETRYABLE,
    message="This key is exchanged too often. Wait {retry_after_s} s.",
    why="A token of a key counts for 15 minutes; a program that asks for one with each request, or "
    "many programs with one key, are held back for that key alone.",
    remedy="Keep the token until shortly before it ends, and give each program a key of its own.",
    http_status=429,
    severity=Severity.INFO,
)
TENANT_ERASED = ErrorSpec(
    code="TENANT_ERASED",
    category=Category.DENIED,
    message="The organisation `{name}` was erased.",
    why="The key of its personal data was destroyed: nothing of it can be read, changed or "
    "brought back here.",
    remedy="Create a new one under another name: `aitrading tenant create`.",
    http_status=409,
    severity=Severity.INFO,
)
TENANT_NOT_CONFIRMED = ErrorSpec(
    code="TENANT_NOT_CONFIRMED",
    category=Category.DENIED,
    message="`{typed}` is not the name of the organisation that would be erased.",
    why="An erasure cannot be undone, so the name is typed a second time.",
    remedy="Type `{name}`, or leave it; nothing was changed.",
    http_status=422,
    severity=Severity.INFO,
)
DEVICE_REVOKED = ErrorSpec(
    code="DEVICE_REVOKED",
    category=Category.DENIED,
    message="The device was revoked.",
    why="An administrator ended its right to connect.",
    remedy="Invite it again: `aitrading device invite`.",
    http_status=403,
    severity=Severity.WARNING,
)
DEVICE_REQUEST_REFUSED = ErrorSpec(
    code="DEVICE_REQUEST_REFUSED",
    category=Category.DENIED,
    message="The device's request was refused.",
    why="It is not signed with the present key of an active device, or this machine's clock is "
    "more than five minutes off.",
    remedy="Look at `aitrading device list` on the server and at `aitrading-client doctor` here.",
    http_status=403,
    severity=Severity.WARNING,
)
DEVICE_TOKEN_REFUSED = ErrorSpec(
    code="DEVICE_TOKEN_REFUSED",
    category=Category.DENIED,
    message="The device got no token.",
    why="The connection showed no device certificate, or one that was replaced, has ended or is of "
    "a device or an organisation that is not active.",
    remedy="Ask under the link's name with the newest certificate; look at `aitrading device list` "
    "on the server and at `aitrading-client doctor` here.",
    http_status=403,
    severity=Severity.WARNING,
)
CREDENTIAL_SHARE_GONE = ErrorSpec(
    code="CREDENTIAL_SHARE_GONE",
    category=Category.DENIED,
    message="The server has no share any more for this stored login.",
    why="The login was rotated or forgotten since: the file is an older one, from a copy or a "
    "backup.",
    remedy="Store the login again: `aitrading-client credentials set`. If nobody restored a file "
    "here, find out who did.",
    http_status=410,
    severity=Severity.WARNING,
)

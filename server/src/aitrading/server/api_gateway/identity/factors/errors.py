"""Refusals of second factors. A wrong code has one answer, whatever is wrong about it."""

from aitrading.core.kit.errors import Category, ErrorSpec, Severity

SECOND_FACTOR_REFUSED = ErrorSpec(
    code="SECOND_FACTOR_REFUSED",
    category=Category.DENIED,
    message="The second factor was refused.",
    why="The code is wrong or was used before, the security key's answer proves nothing, or the "
    "login took too long and must begin anew.",
    remedy="Wait for the next code of the app, or use your key again or a recovery code. An administrator of the "
    "host takes lost factors away: `aitrading user reset-factors`.",
    http_status=401,
    severity=Severity.INFO,
)
SECOND_FACTOR_THROTTLED = ErrorSpec(
    code="SECOND_FACTOR_THROTTLED",
    category=Category.RETRYABLE,
    message="Too many wrong codes; the next one is looked at in {retry_after_s} s.",
    why="Each wrong code makes the next wait longer, over all networks, so that nobody can guess "
    "one. Whoever gets here knows the password.",
    remedy="Wait, then try again. If it was not you, somebody knows your password: change it.",
    http_status=429,
    severity=Severity.WARNING,
)
FACTOR_EXISTS = ErrorSpec(
    code="FACTOR_EXISTS",
    category=Category.DENIED,
    message="An authenticator app is set up already.",
    why="A second one would leave the first one working, unseen.",
    remedy="Remove the present one first, then set up the new one.",
    http_status=409,
    severity=Severity.INFO,
)
FACTOR_MISSING = ErrorSpec(
    code="FACTOR_MISSING",
    category=Category.DENIED,
    message="There is no such second factor.",
    why="It was never set up, or it was removed.",
    remedy="Set up an authenticator app or a security key first.",
    http_status=404,
    severity=Severity.INFO,
)
FACTOR_NOT_CONFIRMED = ErrorSpec(
    code="FACTOR_NOT_CONFIRMED",
    category=Category.DENIED,
    message="The code does not confirm the authenticator app; nothing was changed.",
    why="It is not the app's present code, the clock of the phone is wrong, or the set-up was "
    "begun more than ten minutes ago.",
    remedy="Type the code that the app shows now, or begin the set-up again.",
    http_status=422,
    severity=Severity.INFO,
)
PROOF_REFUSED = ErrorSpec(
    code="PROOF_REFUSED",
    category=Category.DENIED,
    message="The proof was refused; nothing was changed.",
    why="The code or password is wrong or was used before, or the security key's answer proves "
    "nothing. Who has a second factor needs it: the password alone is not enough then.",
    remedy="Wait for the next code of the app, or use your key again or a recovery code.",
    http_status=403,
    severity=Severity.INFO,
)
KEY_NOT_ADDED = ErrorSpec(
    code="KEY_NOT_ADDED",
    category=Category.DENIED,
    message="The security key was not added; nothing was changed.",
    why="Its answer does not fit what was asked, it is known here already, or adding it was begun "
    "more than five minutes ago.",
    remedy="Add it again, or use another key.",
    http_status=422,
    severity=Severity.INFO,
)
KEYS_FULL = ErrorSpec(
    code="KEYS_FULL",
    category=Category.DENIED,
    message="There are {limit} security keys already.",
    why="Nobody needs more, and each one is a way in.",
    remedy="Remove a key that is lost or not used, then add the new one.",
    http_status=409,
    severity=Severity.INFO,
)
KEYS_NOT_HERE = ErrorSpec(
    code="KEYS_NOT_HERE",
    category=Category.DENIED,
    message="Security keys do not work here.",
    why="A key belongs to a name: it works in a browser, on this installation's own page, under a "
    "name of `gateway.hosts` and not under an IP address.",
    remedy="Open the page by its name, or use the code of an app or a recovery code.",
    http_status=409,
    severity=Severity.INFO,
)

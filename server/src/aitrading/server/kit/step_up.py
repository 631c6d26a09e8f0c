"""Dangerous operations need a fresh proof of the person, not only a session.

An endpoint that declares `proved_recently(…)` is answered only if the person proved who they are (`auth_time`
of the token) at most `step_up.max_age_s` ago. Whoever is refused proves it again at
`/api/v1/auth/step-up`, gets a token with the new time, and repeats the request.
"""

from typing import Final

from aitrading.core.kit.clock import NS_PER_S
from aitrading.core.kit.errors import Category, ErrorSpec, Severity
from aitrading.core.security.claims import Authentication
from aitrading.core.security.jwt_manager import LEEWAY_S, VerifiedToken
from aitrading.server.kit.step_up_settings import StepUpSettings

STEP_UP_NEEDED: Final = ErrorSpec(
    code="STEP_UP_NEEDED",
    category=Category.DENIED,
    message="This needs a proof of who you are that is at most {max_age_s} s old.",
    why="A session that was stolen, or a screen that was left open, must not be enough for it.",
    remedy="Prove it again with the code of your authenticator app, or with your password where "
    "you have none: `POST /api/v1/auth/step-up`. The page and the command line ask by themselves; "
    "on the host take a new token.",
    http_status=403,
    severity=Severity.INFO,
)


SECOND_FACTOR_NEEDED: Final = ErrorSpec(
    code="SECOND_FACTOR_NEEDED",
    category=Category.DENIED,
    message="Administration needs a login with a second factor here.",
    why="This installation asks it of everybody who administers, and you came with a password or "
    "a login link alone.",
    remedy="Set up an authenticator app (your name on the page, or `aitrading factors setup`), "
    "and log in with it.",
    http_status=403,
    severity=Severity.INFO,
)
_STRONG: Final = frozenset({Authentication.MFA, Authentication.HOST})

_NO_PERSON: Final = frozenset({Authentication.KEY, Authentication.DEVICE})
"""Whose time of proof says nothing: a program's is the making of its key, which may be a moment ago."""


def require_second_factor(person: VerifiedToken, settings: StepUpSettings) -> None:
    """Raise `SECOND_FACTOR_NEEDED` where the installation asks for one and the person has none."""
    if settings.needs_second_factor and person.authentication not in _STRONG:
        raise SECOND_FACTOR_NEEDED.error()


def require_recent(person: VerifiedToken, settings: StepUpSettings, now_ns: int) -> None:
    """Raise `STEP_UP_NEEDED` for a proof that is too old, and for who is no person.

    One from the future is from before the clock was set back: nobody knows how old it is.
    """
    if not settings.enabled:
        return
    age_ns = now_ns - person.authenticated_ns
    is_fresh = -LEEWAY_S * NS_PER_S <= age_ns <= settings.max_age_s * NS_PER_S
    if not is_fresh or person.authentication in _NO_PERSON:
        raise STEP_UP_NEEDED.error(max_age_s=settings.max_age_s)

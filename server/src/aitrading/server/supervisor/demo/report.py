"""What a start with `--demo` tells the person in front of it."""

from datetime import datetime

import msgspec


class DemoLogin(msgspec.Struct, frozen=True, kw_only=True):
    """One person's login; the password is told once, when the person is made."""

    tenant: str
    user: str
    password: str | None
    password_ends_at: datetime
    """Until then its person logs in and sets one of their own."""


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """What seeding did and how to get in now."""

    logins: tuple[DemoLogin, ...] = ()
    """New people only."""
    link_code: str
    """Opens the page logged in as the demo's owner, once."""
    link_lifetime_s: int
    enrolment_code: str | None = None
    """For the demo client, when it has no identity yet."""

"""The keys that issue: certificates, tokens, and the passwords of people."""

from aitrading.server.authority.installation import ADMIN_SERVICE, Authority, initialise

__all__ = ["ADMIN_SERVICE", "Authority", "initialise"]

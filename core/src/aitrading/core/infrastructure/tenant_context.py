"""Whose work runs now: the tenant of the running task, for logs, errors and settings.

A convenience for telling, never an authority: data access takes the tenant as an argument.
"""

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from aitrading.core.kit.ids import TenantId

_current: Final[ContextVar[TenantId | None]] = ContextVar("aitrading_tenant", default=None)


def current_tenant() -> TenantId | None:
    """The tenant this task works for, or None for the platform's own work."""
    return _current.get()


@contextmanager
def tenant_scope(tenant: TenantId | None) -> Generator[None]:
    """Work for a tenant until the end of the block; tasks started inside inherit it."""
    token = _current.set(tenant)
    try:
        yield
    finally:
        _current.reset(token)

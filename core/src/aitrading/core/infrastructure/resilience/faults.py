"""Telling a sick dependency from a caller who was refused."""

from aitrading.core.kit.errors import AitradingError, Category


def is_retryable(exc: BaseException) -> bool:
    """Whether the same call may succeed later: our retryable errors, and the network's."""
    if isinstance(exc, AitradingError):
        return exc.spec.category is Category.RETRYABLE
    return isinstance(exc, OSError | TimeoutError | EOFError)


def is_failure(exc: BaseException) -> bool:
    """Whether the dependency is to blame; an expected refusal is an answer like any other."""
    if isinstance(exc, AitradingError):
        return exc.spec.category is not Category.DENIED
    return isinstance(exc, Exception)

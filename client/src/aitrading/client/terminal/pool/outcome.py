"""What a caller may believe of a question without an answer."""

from typing import Final

from aitrading.client.terminal.api import constants as c
from aitrading.client.terminal.calls import Answer
from aitrading.client.terminal.pool.dispatcher import Question
from aitrading.client.terminal.pool.errors import CALL_LOST, CALL_NOT_SENT, OUTCOME_UNKNOWN
from aitrading.core.kit.errors import AitradingError

EXECUTES: Final = "order_send"
NOT_REACHED: Final = frozenset({c.RES_E_INTERNAL_FAIL_INIT, c.RES_E_INTERNAL_FAIL_CONNECT})
"""The package had no connection to send anything on."""


def unanswered(question: Question, reason: str) -> AitradingError:
    """The worker was asked and did not answer."""
    spec = OUTCOME_UNKNOWN if _executes(question) else CALL_LOST
    return spec.error(call=question.name, reason=reason)


def requires_answers(question: Question, answers: list[Answer]) -> None:
    """Raise when a request to the broker was cut off on its way, or on its way back."""
    for call, answer in zip(question.calls, answers, strict=True):
        if call.name != EXECUTES or not answer.is_connection_lost:
            continue
        number, text = answer.error
        spec = CALL_NOT_SENT if number in NOT_REACHED else OUTCOME_UNKNOWN
        raise spec.error(call=call.name, reason=f"{text} ({number})")


def _executes(question: Question) -> bool:
    return any(call.name == EXECUTES for call in question.calls)

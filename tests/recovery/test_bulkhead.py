"""Bulkheads of the running platform refuse what would take the room of everybody else."""

import pytest
from harness.episode import Episode

from aitrading.server.api_gateway.call_sites import PASSWORD_HASHING
from aitrading.server.database_service.call_sites import READ_BULKHEAD, WRITE_BULKHEAD

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(480)]


def test_database_reads_refuses_more_questions_than_have_room(many_questions: Episode) -> None:
    many_questions.require(READ_BULKHEAD)
    answers = many_questions.facts["answers"]
    assert 503 in answers
    assert set(answers) <= {200, 503, 504}, "504: PostgreSQL hung for longer than one waits"
    assert answers.count(503) > len(answers) / 2, "one runs and one waits"
    assert many_questions.facts["ticks are stored"]


def test_database_writes_refuses_more_segments_than_may_wait(many_segments: Episode) -> None:
    many_segments.require(WRITE_BULKHEAD)
    answers = many_segments.facts["answers"]
    assert set(answers) == {"stored", "BULKHEAD_FULL"}
    assert many_segments.facts["ticks are stored"]


def test_password_hashing_refuses_a_storm_of_logins(login_storm: Episode) -> None:
    login_storm.require(PASSWORD_HASHING)
    answers = set(login_storm.facts["answers"])
    assert {401, 503} <= answers <= {401, 503, 504}, "504: a slow machine, not a lost answer"
    assert login_storm.facts["quotes move"]

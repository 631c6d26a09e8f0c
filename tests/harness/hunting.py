"""Requests that a foreign generator makes of the platform's own OpenAPI document, and its judgement.

Schemathesis reads the document as a stranger does. For each operation it makes requests that fit
and requests that do not; the same ones are sent in the name of everybody, so that what one role is
given and another is not can be compared.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import CheckFunction, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS: Final[list[CheckFunction]] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
ERROR_MEMBERS: Final = {
    "code",
    "message",
    "category",
    "fields",
    "remedy",
    "request_id",
    "trace_id",
}


@dataclass(frozen=True, kw_only=True)
class Rule:
    """What the document says of who may call an operation."""

    public: bool
    scope: str | None


def rules(document: Mapping[str, Any]) -> dict[tuple[str, str], Rule]:
    """Who may call which operation, by method and path."""
    return {
        (method.upper(), path): Rule(public="security" not in item, scope=item.get("x-scope"))
        for path, items in document["paths"].items()
        for method, item in items.items()
    }


def cases(document: Mapping[str, Any], *, first_seed: int, examples: int) -> list[Case]:
    """Requests for each operation, in the order of the document; the same for the same seed.

    Whose token comes with them is decided by who sends them, so the generator makes none up.
    """
    plain = json.loads(json.dumps(document))
    for items in plain["paths"].values():
        for item in items.values():
            item.pop("security", None)
    found: list[Case] = []
    for read in schemathesis.openapi.from_dict(plain).get_all_operations():
        operation = read.ok()
        modes = GenerationMode if _takes_anything(operation) else [GenerationMode.POSITIVE]
        for mode in modes:
            strategy = operation.as_strategy(generation_mode=mode)
            found += _drawn(strategy, first_seed, examples)
    return found


def _takes_anything(operation: Any) -> bool:
    """Whether something can be sent that does not fit; each text fits in a path."""
    return bool(len(operation.query) or len(operation.body))


def _drawn(strategy: Any, first_seed: int, examples: int) -> Iterator[Case]:
    drawn: list[Case] = []

    @seed(first_seed)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def draw(case: Case) -> None:
        drawn.append(case)

    try:
        draw()
    except Unsatisfiable:  # nothing can be sent that does not fit: no parameter, no body
        return iter(())
    return iter(drawn[:examples])


@dataclass(frozen=True, kw_only=True)
class Hunter:
    """Somebody who sends cases: a person with a token, or nobody."""

    session: requests.Session
    url: str
    trust: str
    scopes: frozenset[str] | None
    """None: not logged in."""

    def send(self, case: Case) -> Response:
        """One request through the edge."""
        answer: Response = case.call(session=self.session, base_url=self.url, verify=self.trust)
        return answer

    def faults(self, case: Case, answer: Response, rule: Rule) -> Iterator[str]:
        """What is wrong with an answer: for the document, for errors, for who asked."""
        try:
            case.validate_response(answer, checks=CHECKS)
        except BaseExceptionGroup as group:
            yield from (str(each) for each in group.exceptions)
        if answer.status_code >= requests.codes.bad_request:
            yield from _faults_of_error(answer)
        elif not self._may(rule):
            yield "somebody without the right for it was answered"
        if self.scopes is None and not rule.public and answer.status_code not in {400, 401, 413}:
            yield "somebody without a token was not asked for one"

    def _may(self, rule: Rule) -> bool:
        if rule.public:
            return True
        return self.scopes is not None and (rule.scope is None or rule.scope in self.scopes)


def _faults_of_error(answer: Response) -> Iterator[str]:
    try:
        told = answer.json()
    except ValueError:
        yield "an error is not JSON"
        return
    if set(told) != {"error"} or set(told["error"]) != ERROR_MEMBERS:
        yield "an error has another shape than all others"
        return
    error = told["error"]
    if not (error["code"] and error["message"] and error["remedy"]):
        yield "an error without a code, a message or a remedy"
    if error["request_id"] and [error["request_id"]] != answer.headers.get("x-request-id"):
        yield "an error names another request than its header"
    if "Traceback" in answer.text or 'File "' in answer.text:
        yield "an error shows code"

"""Who takes one check of a request away is found by a test that is there already."""

import pytest
from harness.planting import Weakness, planted, turns_red

from aitrading.core.security import jwt_manager, possession, strict_json, token_binding
from aitrading.core.security.jwt_manager import JwtVerifier, VerifiedToken
from aitrading.server.kit import authentication, step_up, strict_bodies
from aitrading.server.kit.authentication import Authenticator
from aitrading.server.kit.used_proofs import CachedUsedProofs

TOKENS = "core/tests/security/test_jwt_manager.py"
BINDING = "server/tests/kit/test_token_binding.py"
REQUESTS = "server/tests/kit/test_asgi.py"
BODIES = "server/tests/kit/test_strict_bodies.py"
WEAKNESSES = {
    "any algorithm": Weakness(
        function=jwt_manager._open,
        piece="header.alg != ALGORITHM or",
        weak="",
        found_by=f"{TOKENS}::test_every_forgery_gets_the_same_answer",
    ),
    "any kind of token": Weakness(
        function=jwt_manager._open,
        piece="or header.typ != token_type",
        weak="",
        found_by=f"{TOKENS}::test_every_forgery_gets_the_same_answer",
    ),
    "any signature": Weakness(
        function=jwt_manager._open,
        piece="or not key.verify(base64url_decode(signature_part), signed)",
        weak="",
        found_by=f"{TOKENS}::test_every_forgery_gets_the_same_answer",
    ),
    "any audience": Weakness(
        function=JwtVerifier._parse_user,
        piece="claims.iss, claims.aud,",
        weak="claims.iss, USER_AUDIENCE,",
        found_by=f"{TOKENS}::test_every_forgery_gets_the_same_answer",
    ),
    "any audience between services": Weakness(
        function=JwtVerifier.verify_service,
        piece="claims.aud != audience",
        weak="False",
        found_by=f"{TOKENS}::test_a_remembered_service_token_is_still_checked_for_its_audience",
    ),
    "tokens for ever": Weakness(
        function=jwt_manager._check_time,
        piece=" < expires_s + LEEWAY_S",
        weak="",
        found_by=f"{TOKENS}::test_time_is_checked_with_five_seconds_of_leeway",
    ),
    "a member twice": Weakness(
        function=strict_json._unique_members,
        piece="len(members) != len(pairs)",
        weak="False",
        found_by=f"{BODIES}::test_one_meaning_or_none",
    ),
    "members that nobody reads": Weakness(
        function=strict_bodies.require_strict,
        piece="if lenient:",
        weak="if False:",
        found_by=f"{BODIES}::test_a_body_that_ignores_members_cannot_be_declared",
    ),
    "a cookie without its secret": Weakness(
        function=token_binding.is_shown,
        piece="bound is not None and _equal(bound.session_s256, shown.session_sha256)",
        weak="bound is not None",
        found_by=f"{BINDING}::test_a_browsers_token_works_in_its_cookies_and_nowhere_else",
    ),
    "a stolen token without its key": Weakness(
        function=token_binding.is_shown,
        piece="bound is None or _equal(bound.x5t_s256, shown.certificate_sha256)",
        weak="True",
        found_by=f"{REQUESTS}::test_a_bound_token_needs_its_certificate",
    ),
    "a proof that was used": Weakness(
        function=CachedUsedProofs.spend,
        piece="self._note_here(proof)",
        weak="return",
        found_by=f"{BINDING}::test_a_proof_works_once",
    ),
    "a proof for another address": Weakness(
        function=possession._require_made_for,
        piece="claims.htm != target.method or not _same_address(claims.htu, target)",
        weak="False",
        found_by="core/tests/security/test_possession.py::test_every_wrong_proof_gets_the_same_answer",
    ),
    "any site": Weakness(
        function=authentication.require_same_origin,
        piece="""if origin != f"https://{headers.get('host', '')}":""",
        weak="if False:",
        found_by=f"{REQUESTS}::test_a_cookie_changes_nothing_for_another_site",
    ),
    "any right": Weakness(
        function=VerifiedToken.require,
        piece="scope not in self.scopes",
        weak="False",
        found_by=f"{REQUESTS}::test_a_scope_that_is_missing_is_named",
    ),
    "a session that ended": Weakness(
        function=Authenticator.is_revoked,
        piece="self._revocations.is_revoked(token)",
        weak="False",
        found_by=f"{REQUESTS}::test_an_ended_session_is_refused",
    ),
    "an old proof of a person": Weakness(
        function=step_up.require_recent,
        piece="-LEEWAY_S * NS_PER_S <= age_ns <= settings.max_age_s * NS_PER_S",
        weak="True",
        found_by="server/tests/kit/test_step_up.py::test_each_refuses_an_old_proof_and_takes_a_fresh_one",
    ),
}


@pytest.mark.parametrize("weakness", WEAKNESSES.values(), ids=WEAKNESSES)
def test_a_weakness_turns_its_test_red(weakness: Weakness) -> None:
    with planted(weakness):
        assert turns_red(weakness.found_by)


@pytest.mark.parametrize("found_by", sorted({each.found_by for each in WEAKNESSES.values()}))
def test_what_finds_them_is_green_without_one(found_by: str) -> None:
    assert not turns_red(found_by)

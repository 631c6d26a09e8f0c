"""Second factors on the page and the command line, of a running platform in a real browser."""

import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest
from harness.browser import log_in, opened_page
from harness.platform import BIN, Platform, clean_environment
from harness.postgres import rows
from playwright.sync_api import Page, expect

from aitrading.core.kit.secret import Secret
from aitrading.server.api_gateway.identity.factors.totp import STEP_S, code_at

pytestmark = [pytest.mark.e2e, pytest.mark.browser, pytest.mark.timeout(480)]
TENANT: Final = "twofold"


@pytest.fixture(scope="module")
def password(platform: Platform) -> str:
    platform.cli_json("tenant", "create", TENANT)
    made = platform.cli_json("user", "create", "owner", "--tenant", TENANT, "--role", "owner")
    return str(made["password"])


@pytest.fixture
def page(platform: Platform) -> Iterator[Page]:
    with opened_page(platform.url) as page:
        yield page


def code_of(secret: Secret[str], *, steps: int = 0) -> str:
    """What the app shows; the next step's is accepted too, and stands for a moment later.

    Never an earlier one: it is out of date when a step ends before the server has it.
    """
    return code_at(secret, int(time.time()) // STEP_S + steps)  # noqa: TID251 - an app's own clock


def in_database(platform: Platform, query: str, *arguments: object) -> list[Any]:
    """In a thread of its own: the browser's driver holds this one's event loop."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(rows, platform, query, *arguments).result()


def make_proof_old(platform: Platform) -> None:
    """As if an hour had passed since the person proved who they are."""
    in_database(
        platform,
        "UPDATE identity.sessions s SET authenticated_at = authenticated_at - interval '1 hour'"
        "  FROM identity.tenants t WHERE t.id = s.tenant_id AND t.name = $1",
        TENANT,
    )


def as_person(platform: Platform, folder: Path, *arguments: str, **variables: str) -> Any:
    """A command of somebody elsewhere, whose login lies in a folder of their own."""
    given = {"XDG_CONFIG_HOME": str(folder), **variables}
    return subprocess.run(
        [str(BIN / "aitrading"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**clean_environment(), **given, "AITRADING_HOME": str(platform.home)},
    )


def set_up(page: Page, password: str) -> tuple[Secret[str], str]:
    """An app, set up on the page of somebody whose proof is old; and a recovery code."""
    page.click("#account-open")
    expect(page.locator("#account-state")).to_contain_text("Your password alone logs in")
    page.click("#account-set-up")
    page.fill("#proof input", "not the password at all")
    page.press("#proof input", "Enter")
    expect(page.locator("#proof .problem")).to_contain_text("refused")
    page.fill("#proof input", password)
    page.press("#proof input", "Enter")
    expect(page.locator("#account .qr path")).to_have_attribute("d", re.compile("^M4 4h7"))
    secret = Secret(page.locator("#account-begun code").inner_text().replace(" ", ""))
    page.fill("#account-code", code_of(secret))
    page.press("#account-code", "Enter")
    expect(page.locator("#account-codes li")).to_have_count(10)
    recovery = page.locator("#account-codes li").first.inner_text()
    expect(page.locator("#account-state")).to_contain_text("Recovery codes left: 10")
    page.click("#account button:text('Close')")
    expect(page.locator("#account-codes li")).to_have_count(0)
    return secret, recovery


def plug_in_a_key(page: Page) -> None:
    """A security key that somebody touches whenever it blinks; the browser believes it is USB."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2",
        "transport": "usb",
        "hasUserVerification": True,
        "isUserVerified": True,
        "automaticPresenceSimulation": True,
    }
    session.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def add_a_key(page: Page) -> None:
    page.click("#account-open")
    page.click("#account-add-key")
    page.fill("#account-key-name", "the blue one")
    page.press("#account-key-name", "Enter")
    expect(page.locator("#account-keys li")).to_contain_text("the blue one · localhost · since")
    expect(page.locator("#account-codes")).to_be_hidden()
    page.click("#account button:text('Close')")


def remove_the_key_with_itself(platform: Platform, page: Page) -> None:
    """The proof is old: the key is asked for one, a last time."""
    make_proof_old(platform)
    page.evaluate("fetch('/api/v1/auth/refresh', {method: 'POST'})")
    page.click("#account-open")
    page.click("#account-keys button")
    page.click("#proof-key")
    expect(page.locator("#account-keys li")).to_have_count(0)
    expect(page.locator("#account-state")).to_contain_text("Authenticator app since")
    page.click("#account button:text('Close')")


def test_an_app_and_a_key_are_set_up_asked_for_and_taken_away(
    platform: Platform, page: Page, password: str, tmp_path: Path
) -> None:
    log_in(page, password, TENANT)
    page.wait_for_url("**/")
    make_proof_old(platform)
    page.evaluate("fetch('/api/v1/auth/refresh', {method: 'POST'})")
    secret, recovery = set_up(page, password)
    plug_in_a_key(page)
    add_a_key(page)

    page.click("#logout")
    page.wait_for_url("**/login")
    log_in(page, password, TENANT)
    expect(page.locator("#second")).to_be_visible()
    page.fill("#code", "000000")
    page.press("#code", "Enter")
    expect(page.locator("#second-problem")).to_contain_text("refused")
    page.fill("#code", code_of(secret, steps=1))
    page.press("#code", "Enter")
    page.wait_for_url("**/")

    page.click("#logout")
    page.wait_for_url("**/login")
    log_in(page, password, TENANT)
    page.click("#use-key")
    page.wait_for_url("**/")
    remove_the_key_with_itself(platform, page)

    place = ("login", "--server", platform.url, "--tenant", TENANT, "--user", "owner")
    typed = {"AITRADING_PASSWORD": password, "AITRADING_CODE": recovery}
    login = as_person(platform, tmp_path, *place, **typed)
    assert login.returncode == 0, login.stderr
    shown = as_person(platform, tmp_path, "factors", "show")
    assert "recovery codes left: 9" in shown.stdout, shown.stderr
    assert "SECOND_FACTOR_REFUSED" in as_person(platform, tmp_path, *place, **typed).stderr

    reset = platform.cli("user", "reset-factors", f"{TENANT}/owner")
    assert reset.returncode == 0, reset.stderr
    log_in(page, password, TENANT)
    page.wait_for_url("**/")
    told = {row["action"] for row in in_database(platform, "SELECT action FROM audit.pending")}
    assert {
        "identity.factor.added",
        "identity.factor.refused",
        "identity.factor.reset",
        "identity.recovery_code.used",
        "identity.session.stepped_up",
    } <= told


def test_who_still_needs_a_factor_is_told_so_and_no_stream_is_opened(
    platform: Platform, page: Page
) -> None:
    platform.cli_json("tenant", "create", "strict")
    made = platform.cli_json("user", "create", "owner", "--tenant", "strict", "--role", "owner")
    wanted = ("login.second_factor", "all", "--tenant", "strict")
    assert platform.cli("config", "tenant", "set", *wanted).returncode == 0
    streams: list[str] = []
    page.on("websocket", lambda opened: streams.append(opened.url))
    log_in(page, str(made["password"]), "strict")
    expect(page.locator("#account-state")).to_contain_text("Your organisation asks for a second")
    expect(page.locator("#banner-factor")).to_be_visible()
    expect(page.locator("#link-text")).to_have_text("not connected")
    expect(page.locator("#banner-link")).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('online'))")
    assert streams == []

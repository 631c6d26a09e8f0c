"""Chromium without a window, and in it the page of a running platform."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ("--no-sandbox", "--disable-gpu")
PATIENCE_MS = 60_000
WAITS_LONG = """
  const timeout = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (ms) => timeout(8 * ms);
"""
"""A page gives up a question after some seconds: too early on a machine with much else to do."""


def chromium(bundled: str) -> Path:
    """The driver's own browser, or the system's; skips the test without either."""
    executable = next((path for path in (Path(bundled), CHROMIUM) if path.exists()), None)
    if executable is None:
        pytest.skip("no Chromium: run `playwright install chromium`")
    return executable


@contextmanager
def running_browser() -> Iterator[Browser]:
    """A browser, closed in the end."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        executable = chromium(playwright.chromium.executable_path)
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        browser.close()


def patient_context(browser: Browser, **options: Any) -> BrowserContext:
    """What pages are opened in."""
    context = browser.new_context(ignore_https_errors=True, **options)
    context.set_default_timeout(PATIENCE_MS)
    context.add_init_script(WAITS_LONG)
    return context


@contextmanager
def opened_page(url: str) -> Iterator[Page]:
    """A page; any script error, or anything that the page's policy forbids, fails the test."""
    with running_browser() as browser:
        context = patient_context(browser, base_url=url)
        page, problems = context.new_page(), []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console", lambda line: problems.append(line.text) if "Policy" in line.text else None
        )
        yield page
        assert problems == []


def log_in(page: Page, password: str, tenant: str) -> None:
    """As the owner of an organisation."""
    page.goto("/login")
    page.fill("#tenant", tenant)
    page.fill("#username", "owner")
    page.fill("#password", password)
    page.press("#password", "Enter")

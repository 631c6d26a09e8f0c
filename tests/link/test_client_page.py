"""The client's own page in a browser: what a running client tells, drawn, and told to be old without it."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version

import pytest
from harness.browser import ARGUMENTS, PATIENCE_MS, chromium
from playwright.async_api import Page, async_playwright, expect
from tests.link.edge import Edge
from tests.link.enrolled import enrolled_home
from tests.link.test_client_to_bridge import SURROUNDINGS, config

from aitrading.client.service import running_client
from aitrading.client.terminal.select import TerminalKind
from aitrading.core.testing.async_test import async_test
from aitrading.server.testing.bridge import running_bridge
from aitrading.server.testing.services import ServiceWorld

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
WIDTHS_PX = (360, 800, 1400)


@asynccontextmanager
async def opened(port: int) -> AsyncGenerator[Page]:
    """The page in Chromium; an error of a script or of the policy fails the test."""
    problems: list[str] = []
    expect.set_options(timeout=PATIENCE_MS)
    async with async_playwright() as playwright:
        executable = chromium(playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        page = await browser.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console", lambda line: problems.append(line.text) if "Policy" in line.text else None
        )
        await page.goto(f"http://127.0.0.1:{port}/")
        yield page
        await browser.close()
    assert problems == []


async def told(page: Page, panel: str, name: str, words: str) -> None:
    """A line of a panel says something; it is drawn again every two seconds."""
    line = page.locator(f"#{panel} dt").get_by_text(name, exact=True).locator("+ dd")
    await expect(line).to_contain_text(words)


@async_test
async def test_a_browser_shows_what_the_running_client_tells(world: ServiceWorld) -> None:
    async with (
        running_bridge(world) as bridge,
        Edge(world.authority, bridge.socket, world.home) as edge,
    ):
        home = world.home / "client"
        record = enrolled_home(home, world.authority, edge.port)
        bridge.devices.add(record.identity)
        async with AsyncExitStack() as stack:
            running = running_client(home, TerminalKind.SIM, config(), SURROUNDINGS)
            client = await stack.enter_async_context(running)
            async with opened(client.probes.port) as page:
                live = page.locator('#feeds .state[data-state="LIVE"]')
                await expect(live).to_have_count(4)
                await told(page, "connection", "link", "CONNECTED")
                await told(page, "connection", "server", f":{edge.port}")
                await told(page, "connection", "certificate", "old, ends in 2 days")
                await told(page, "queues", "on disk", "MiB of 512.0 MiB")
                await told(page, "queues", "stored login", "none: the terminal's own")
                await told(page, "identity", "client", version("aitrading-client"))
                await told(page, "identity", "device", str(record.device))
                await expect(page.locator("#parts .part")).to_have_count(3)
                for width in WIDTHS_PX:
                    await page.set_viewport_size({"width": width, "height": 900})
                    wide = await page.evaluate("document.documentElement.scrollWidth")
                    assert wide <= width
                await stack.aclose()
                await expect(page.locator("#lost")).to_be_visible()
                await expect(live).to_have_count(0)
                await expect(page.locator("#state")).to_have_text("UNKNOWN")


@async_test
async def test_a_client_that_hangs_is_as_lost_as_one_that_is_gone(world: ServiceWorld) -> None:
    home = world.home / "client"
    enrolled_home(home, world.authority, 1)
    async with (
        running_client(home, TerminalKind.SIM, config(), SURROUNDINGS) as client,
        opened(client.probes.port) as page,
    ):
        await told(page, "connection", "last trouble", "LINK_")
        await expect(page.locator('#feeds .state[data-state="LIVE"]')).to_have_count(4)
        await page.route("**/page.json", lambda _route: None)
        await expect(page.locator("#lost")).to_be_visible()
        await expect(page.locator('#feeds .state[data-state="UNKNOWN"]')).to_have_count(4)

"""A real Chromium on the pages. What no page may do fails the test: a fault in a script, a breach of the content
security policy, a request to any other host, an answer that is an error."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.strategies.conftest import known, places  # noqa: F401
from tests.tradingsite.people import person

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DESKTOP, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.django_db(transaction=True))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # Playwright keeps a loop running in this thread, for which Django takes the tests' own queries to be asynchronous.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()
    os.environ.pop("DJANGO_ALLOW_ASYNC_UNSAFE", None)


_TELL_BREACHES = """
document.addEventListener("securitypolicyviolation", e => console.error("CSP", e.violatedDirective, e.blockedURI));
"""


class Visitor:
    """A person at a browser. `faults` is what went wrong in it; `expect_status` names answers that are meant."""

    def __init__(self, browser: Browser, live_server: object, client: object) -> None:
        self._browser, self._server, self._client = browser, live_server, client
        self.faults: list[str] = []
        self.meant: set[int] = set()
        self._contexts: list[BrowserContext] = []

    def page(self, *, viewport: dict[str, int] = DESKTOP, scheme: str = "light", user: object = None) -> Page:
        context = self._browser.new_context(
            base_url=self._server.url,
            viewport=viewport,
            color_scheme=scheme,
            device_scale_factor=1,
            reduced_motion="reduce",
        )
        self._contexts.append(context)
        if user is not None:
            self._client.force_login(user)
            cookie = self._client.cookies[django_settings.SESSION_COOKIE_NAME]
            context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": self._server.url}])
        page = context.new_page()
        page.add_init_script(_TELL_BREACHES)
        page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        page.on("console", self._hear)
        page.on("request", self._watch)
        page.on("response", self._judge)
        return page

    def _hear(self, message: object) -> None:
        meant = any(f"status of {status}" in message.text for status in self.meant)
        if message.type in ("error", "warning") and not meant:
            self.faults.append(f"console: {message.text}")

    def _watch(self, request: object) -> None:
        if not request.url.startswith((self._server.url + "/", "data:", "blob:")):
            self.faults.append(f"outside request: {request.url}")

    def _judge(self, response: object) -> None:
        if response.status >= 400 and response.status not in self.meant:
            self.faults.append(f"{response.status}: {response.url}")

    def close(self) -> None:
        for context in self._contexts:
            context.close()


@pytest.fixture
def visitor(browser: Browser, live_server: object, client: object) -> Iterator[Visitor]:
    someone = Visitor(browser, live_server, client)
    yield someone
    someone.close()
    assert someone.faults == []


@pytest.fixture
def trader(transactional_db: None) -> object:
    return person("trader", "tess")


def picture(page: Page, name: str) -> None:
    """Keep a picture of the whole page where BROWSER_PICTURES names a folder."""
    folder = os.environ.get("BROWSER_PICTURES")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=f"{folder}/{re.sub('[^a-z0-9-]+', '-', name.lower())}.png", full_page=True)


def overflowing(page: Page) -> list[str]:
    """What reaches over the right edge of the window, beside what scrolls in a box of its own; on a phone also tables
    that fold into cards and are still too wide."""
    return page.evaluate(
        """() => {
          const root = document.documentElement, wide = root.clientWidth;
          const boxed = e => e && e !== document.body
            && (["auto", "scroll", "hidden"].includes(getComputedStyle(e).overflowX) || boxed(e.parentElement));
          const found = root.scrollWidth > wide ? ["page: " + root.scrollWidth] : [];
          if (wide <= 560)
            for (const e of document.querySelectorAll(".scroll:has(> .fold)"))
              if (e.scrollWidth > e.clientWidth) found.push("folded table: " + e.scrollWidth);
          for (const e of document.querySelectorAll("main *, header *")) {
            const box = e.getBoundingClientRect();
            const placed = getComputedStyle(e).position === "absolute";
            if (box.width && box.right > wide + 1 && !placed && !boxed(e.parentElement))
              found.push(e.tagName + "." + e.className + ": " + Math.round(box.right));
          }
          return found;
        }"""
    )

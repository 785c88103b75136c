"""Pages as a reader of HTML and a browser see them: their elements, their texts, their console, their requests."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """A page as a reader of HTML sees it: elements with attributes, texts by the id of their section, balance."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, str] = {}
        self.section = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self.section = dict(attributes).get("id") or "" if tag == "section" else self.section
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.texts[self.section] = self.texts.get(self.section, "") + text


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Any]:
    """Start Chromium without a window, its logs kept; its own files go into `profile`."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip("no browser here: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "disable-sync"):
        options.add_argument(f"--{flag}")
    options.add_argument("--disable-component-update")
    options.add_argument("--disable-dev-shm-usage")  # a container's is small
    options.add_argument("--window-size=1280,1000")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        yield started
    finally:
        started.quit()


def visit(browser: Any, page: Path) -> Any:
    """Open a page from its file, with empty logs."""
    for kind in ("browser", "performance"):
        browser.get_log(kind)
    browser.get(page.resolve().as_uri())
    return browser


def all_of(browser: Any, selector: str) -> list[Any]:
    return list(browser.find_elements("css selector", selector))


def press(browser: Any, *keys: str) -> None:
    from selenium.webdriver import ActionChains

    ActionChains(browser).send_keys(*keys).perform()


def quiet(browser: Any) -> bool:
    """Say whether the console has stayed empty and the page has asked for nothing but itself and its data URIs."""
    assert browser.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    requests = [event["params"] for event in events if event["method"] == "Network.requestWillBeSent"]
    own = [request for request in requests if not request["documentURL"].startswith("chrome")]  # its start page
    asked = {request["request"]["url"] for request in own if not request["request"]["url"].startswith("data:")}
    assert asked == {browser.current_url}
    return True

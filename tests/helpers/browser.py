"""A real browser for tests: Chromium or Chrome where one is installed; the test is skipped where none is."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def opened_page(address: str, width: int = 1300, height: int = 1000) -> Iterator[Any]:
    """Playwright's page at `address` (http:// or file://), in a window of that size, px."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra dev)")
    chromium = next(filter(None, map(shutil.which, _NAMES)), None)
    if chromium is None:
        pytest.skip("there is no Chromium or Chrome on this machine")
    with playwright.sync_playwright() as engine:
        as_root = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = engine.chromium.launch(executable_path=chromium, args=as_root)
        page = browser.new_page(viewport={"width": width, "height": height})
        page.goto(address)
        yield page
        browser.close()

"""The page in a real browser: a picture goes in, labelled pictures come out, and mistakes are told."""

import io
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ipai.adapter.formats import save_adapter
from tests.helpers.browser import opened_page
from tests.helpers.small_pipeline import PICTURE, adapter_for, make_pipeline
from tests.integration.conftest import start

pytest.importorskip("gradio", reason="gradio is not installed (extra gradio)")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page of an adapter with random weights, served by the real command."""
    folder = tmp_path_factory.mktemp("app")
    save_adapter(adapter_for(make_pipeline()), folder / "adapter.safetensors", {})
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = (f"checkpoint={folder}/adapter.safetensors", "base=micro", f"port={port}", "steps=1", "device=cpu")
    server = start("scripts/app.py", *words)
    try:
        _wait_for(f"http://127.0.0.1:{port}/", server)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.communicate(timeout=30)


def _wait_for(address: str, server: Any) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            assert server.poll() is None, server.communicate()[0]
            assert time.monotonic() < deadline, "the page is not served"
            time.sleep(0.3)


@pytest.fixture
def page(address: str) -> Iterator[Any]:
    with opened_page(address) as opened:
        opened.wait_for_selector("#draw")
        yield opened


def drawn(page: Any, button: str) -> Image.Image:
    before = page.locator("#result img").first.get_attribute("src") if page.locator("#result img").count() else None
    page.click(button)
    page.wait_for_function(
        "before => { const i = document.querySelector('#result img'); return i && i.src && i.src !== before }",
        arg=before,
        timeout=60_000,
    )
    content = page.request.get(page.locator("#result img").first.get_attribute("src")).body()
    return Image.open(io.BytesIO(content)).convert("RGB")


@pytest.mark.slow
def test_a_picture_goes_in_and_pictures_come_out(page: Any, tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "condition.png")
    page.click("#draw")
    page.wait_for_selector("text=there is no condition image")
    page.set_input_files("#image input[type=file]", tmp_path / "condition.png")
    page.wait_for_selector("#image img")
    page.fill("#prompt textarea", "a red star")
    one = drawn(page, "#draw")
    assert one.width == 3 * 64 + 2 * 4  # three seeds
    assert len(one.getcolors(100_000)) > 500
    five = drawn(page, "#five")
    assert five.width == one.width
    assert five.height > 4 * 64  # the object has no name, so its row is left out

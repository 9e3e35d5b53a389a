"""The page in a real browser: a picture goes in, labelled pictures come out, and mistakes are told."""

import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipai.adapter.formats import save_adapter
from ipai.pipeline.record import read_facts
from ipai.tasks import get_task
from tests.helpers.browser import opened_page
from tests.helpers.small_pipeline import adapter_for, make_pipeline
from tests.integration.conftest import start

pytestmark = pytest.mark.slow

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


@pytest.fixture(params=[(1300, 1000), (390, 844)], ids=["desktop", "phone"])
def page(request: pytest.FixtureRequest, address: str) -> Iterator[Any]:
    with opened_page(address, *request.param) as opened:
        opened.wait_for_selector("#draw")
        yield opened


def drawn(page: Any, button: str, count: int) -> list[bytes]:
    """The files of the gallery after `button` has drawn so many pictures."""
    page.click(button)
    page.wait_for_selector(f"#state >> text=picture {count} of {count}", timeout=60_000)
    page.wait_for_function("n => document.querySelectorAll('#result img').length >= n", arg=count)
    sources = [image.get_attribute("src") for image in page.locator("#result img").all()][:count]
    return [page.request.get(source).body() for source in sources]


def test_pictures_come_with_their_settings_and_mistakes_are_told(page: Any, tmp_path: Path) -> None:
    wide = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert wide <= 0  # nothing to scroll sideways, on a phone either
    page.click("#draw")
    page.wait_for_selector("text=there is no condition image")
    page.locator("#examples img").first.click()
    page.wait_for_selector("#image img")
    page.fill("#prompt textarea", "a red star")
    page.fill("#seeds textarea", "3, 4")
    pictures = drawn(page, "#draw", 2)
    (tmp_path / "drawn.png").write_bytes(pictures[1])
    facts = read_facts(tmp_path / "drawn.png")
    assert (facts.settings["seeds"], facts.settings["prompt"]) == ([4], "a red star")
    page.locator("#result img").first.click()
    page.click("#settings button")
    page.wait_for_selector("#settings >> text=repeat=picture-")

    page.click("#five")
    page.wait_for_selector("text=write the object's name")
    page.fill("#name textarea", "star")
    assert len(drawn(page, "#five", 10)) == 10


def test_a_task_brings_its_wording_scale_and_guidance(page: Any) -> None:
    page.locator("#task label", has_text="structure").click()
    page.wait_for_function("document.querySelector('#instruction input').value === 'use the composition'")
    page.click("#how button")
    assert float(page.locator("#scale input[type=number]").input_value()) == get_task("structure").scale
    assert page.locator("#guidance input:checked").get_attribute("value") == get_task("structure").guidance


def test_stop_ends_the_drawing(page: Any) -> None:
    page.locator("#examples img").first.click()
    page.wait_for_selector("#image img")
    page.click("#dice")
    page.wait_for_function("document.querySelector('#seeds textarea').value !== '0, 1, 2'")
    page.click("#how button")
    page.fill("#steps input[type=number]", "100")
    page.click("#draw")
    page.wait_for_selector("#state >> text=waiting")
    page.click("#stop")
    page.wait_for_timeout(2000)
    then = page.inner_text("#state")  # "stopped", or the message of a picture that was on its way
    page.wait_for_timeout(3000)
    assert page.inner_text("#state") == then
    page.fill("#steps input[type=number]", "1")
    page.fill("#seeds textarea", "1")
    assert len(drawn(page, "#draw", 1)) == 1

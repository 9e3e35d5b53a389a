"""An answer is bounded as a whole, in bytes and in seconds."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from ipai.llm.bounded_http import BoundedClient


class Body(httpx2.AsyncByteStream):
    """Parts of a body, with a pause before each."""

    def __init__(self, parts: int, pause: float) -> None:
        self.parts, self.pause = parts, pause

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self.parts):
            await asyncio.sleep(self.pause)
            yield b"x" * 10


def fetched(body: Body, path: str = "/chat/completions", **bounds: float) -> httpx2.Response:
    async def fetch() -> httpx2.Response:
        transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers={"x-own": "1"}, stream=body))
        async with BoundedClient(transport=transport, **bounds) as client:  # type: ignore[arg-type]
            return await client.get(f"http://127.0.0.1{path}")

    return asyncio.run(fetch())


def test_an_answer_within_its_bounds_is_as_it_came() -> None:
    answer = fetched(Body(3, 0), seconds=5)
    assert answer.text == "x" * 30
    assert answer.headers["x-own"] == "1"


def test_one_that_never_ends_is_a_timeout() -> None:
    with pytest.raises(httpx2.ReadTimeout, match=r"no whole answer within 0\.2 s"):
        fetched(Body(10_000, 0.01), seconds=0.2)


def test_files_of_batches_have_more_time() -> None:
    assert len(fetched(Body(30, 0.01), path="/files/1/content", seconds=0.1).content) == 300


def test_one_that_is_too_large_is_broken_off() -> None:
    with pytest.raises(httpx2.ReadError, match="more than 100 bytes"):
        fetched(Body(10_000, 0), seconds=5, most_bytes=100)

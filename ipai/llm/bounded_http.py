"""An HTTP client for servers that drip or flood: the whole answer is bounded, in seconds and in bytes."""

import asyncio
from typing import Any

import httpx2  # what openai 3 speaks through
from openai import DefaultAsyncHttpxClient

MOST_BYTES = 50_000_000  # of one answer to a question
_CHAT = "/chat/completions"
_OF_A_FILE = 30  # times as long and as large may everything else be: batches are files
_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")


class BoundedClient(DefaultAsyncHttpxClient):
    """Reads an answer to its end within `seconds`, or fails as a slow or broken connection does.

    Args:
        seconds: From sending a question to the last byte of the answer.
        most_bytes: Of an answer to it.
        options: Further ones of httpx's client.
    """

    def __init__(self, seconds: float, most_bytes: int = MOST_BYTES, **options: Any) -> None:
        super().__init__(**options)
        self._seconds, self._most = seconds, most_bytes

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        """See `httpx.AsyncClient.send`; the body has been read when it returns.

        Raises:
            httpx2.ReadTimeout: It took too long.
            httpx2.ReadError: The answer is too large.
        """
        options["stream"] = True
        factor = 1 if request.url.path.endswith(_CHAT) else _OF_A_FILE
        try:
            async with asyncio.timeout(self._seconds * factor):
                response = await super().send(request, **options)
                body = await self._body_of(response, request, self._most * factor)
        except TimeoutError as error:
            raise httpx2.ReadTimeout(f"no whole answer within {self._seconds * factor:g} s", request=request) from error
        headers = [(name, value) for name, value in response.headers.multi_items() if name.lower() not in _OF_THE_BODY]
        return httpx2.Response(response.status_code, headers=headers, content=body, request=request)

    async def _body_of(self, response: httpx2.Response, request: httpx2.Request, most: int) -> bytes:
        parts, size = [], 0
        try:
            async for part in response.aiter_bytes():
                parts.append(part)
                size += len(part)
                if size > most:
                    raise httpx2.ReadError(f"the answer has more than {most:,} bytes", request=request)
        finally:
            await response.aclose()
        return b"".join(parts)

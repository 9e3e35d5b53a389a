"""Files of the Batch API: requests on the way in, answers and errors on the way out, matched by `custom_id`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ipai.llm.client import json_object, messages_of
from ipai.llm.config import LanguageModel
from ipai.llm.question import Question

# The API's limits, of which a little is left free: 50,000 requests and 200 MB a file.
MOST_REQUESTS = 50_000
MOST_BYTES = 195_000_000
ENDPOINT: Final = "/v1/chat/completions"


class RequestFile:
    """One file of requests; `kinds` tells the kind of each by its key."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.kinds: dict[str, str] = {}
        self._bytes = 0

    def add(self, question: Question, fault: str | None, model: LanguageModel) -> bool:
        """Append a request; False, and nothing is written, if the file would be too large."""
        line = json.dumps(_request(question, fault, model), ensure_ascii=True).encode() + b"\n"
        if self.kinds and (len(self.kinds) >= MOST_REQUESTS or self._bytes + len(line) > MOST_BYTES):
            return False
        with self.path.open("ab") as file:
            file.write(line)
        self.kinds[question.key] = question.kind
        self._bytes += len(line)
        return True


def read_results(text: str, body_of: Callable[[str], dict[str, Any] | None]) -> dict[str, dict[str, Any]]:
    """The bodies of a result file by `custom_id`; lines that say nothing of a request are left out.

    The body of a failed request is `{"error": {"code": ...}}`.

    Args:
        text: One request a line.
        body_of: See `Client.body_of`.
    """
    found: dict[str, dict[str, Any]] = {}
    for line in text.splitlines():
        entry = json_object(line) or {}
        response = entry.get("response")
        body = response.get("body") if isinstance(response, dict) else None
        body = body_of(json.dumps(body, ensure_ascii=False)) if isinstance(body, dict) else None
        if body is None:
            body = {"error": entry.get("error") or {}}
        if isinstance(entry.get("custom_id"), str):
            found[entry["custom_id"]] = body
    return found


def error_code(body: dict[str, Any]) -> str | None:
    """The code of a failed request's body, "" where it states none; None if the request did not fail."""
    if "error" not in body or body["error"] is None:
        return None
    error = body["error"]
    return str(error.get("code") or "") if isinstance(error, dict) else ""


def _request(question: Question, fault: str | None, model: LanguageModel) -> dict[str, Any]:
    form = {"name": question.form.__name__, "schema": question.form.model_json_schema(), "strict": True}
    body: dict[str, Any] = {
        "model": model.model,
        "messages": messages_of(question, fault),
        "response_format": {"type": "json_schema", "json_schema": form},
        "max_completion_tokens": model.max_tokens,
    }
    if model.temperature is not None:
        body["temperature"] = model.temperature
    return {"custom_id": question.key, "method": "POST", "url": ENDPOINT, "body": body}

"""A real S3 server on loopback (moto's), whose answers can be made to fail, and shards copied into it."""

import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from ipai.files import sha256_of

BUCKET = "shards"
_SECRET = "loopback-secret-that-must-not-be-written"


class Store:
    """The server.

    Attributes:
        url: Its endpoint.
        failing: Answers that are still to be a 503; 10**9 is a store that is gone.
        damaged: Downloads of shards that are still to arrive with a flipped bit.
        downloads: The shards that were sent, in order.
    """

    def __init__(self) -> None:
        self.failing = 0
        self.damaged = 0
        self.downloads: list[str] = []
        self._moto: Any = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def environment(self) -> dict[str, str]:
        """What a client needs to find the server."""
        return {
            "AWS_ENDPOINT_URL": self.url, "AWS_ACCESS_KEY_ID": "loopback", "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": "us-east-1", "AWS_MAX_ATTEMPTS": "1",
        }  # fmt: skip

    def put(self, folder: Path, prefix: str) -> str:
        """Copy a folder of shards; returns its address."""
        client = boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id="loopback", aws_secret_access_key=_SECRET,
            region_name="us-east-1",
        )  # fmt: skip
        client.create_bucket(Bucket=BUCKET)
        for path in sorted(folder.glob("*/*.*")):
            if path.suffix in (".tar", ".json"):
                client.upload_file(str(path), BUCKET, f"{prefix}/{path.relative_to(folder)}")
        return f"s3://{BUCKET}/{prefix}"

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if self.failing > 0:
            self.failing -= 1
            start("503 Service Unavailable", [("Content-Type", "application/xml")])
            return [b"<Error><Code>ServiceUnavailable</Code><Message>test</Message></Error>"]
        body = self._moto(environ, start)
        if environ["REQUEST_METHOD"] != "GET" or not environ["PATH_INFO"].endswith(".tar"):
            return body  # type: ignore[no-any-return]
        self.downloads.append(environ["PATH_INFO"].rpartition("/")[2])
        content = bytearray(b"".join(body))
        if self.damaged > 0:
            self.damaged -= 1
            content[len(content) // 2] ^= 1
        return [bytes(content)]


@contextmanager
def serving() -> Iterator[Store]:
    """A server, and an environment in which clients find it."""
    store = Store()
    before = dict(os.environ)
    os.environ.update(store.environment())
    try:
        yield store
    finally:
        store.close()
        os.environ.clear()
        os.environ.update(before)


def write_sidecars(root: Path) -> None:
    """Say beside each shard below `root` what it holds, as the builders do."""
    import tarfile

    for path in root.glob("*/*.tar"):
        with tarfile.open(path) as tar:
            keys = list(dict.fromkeys(name.partition(".")[0] for name in tar.getnames()))
        facts = {"bytes": path.stat().st_size, "sha256": sha256_of(path), "samples": [{"key": key} for key in keys]}
        path.with_suffix(".json").write_text(json.dumps(facts))

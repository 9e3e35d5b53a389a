"""A store for each test; fsspec keeps its connections by process, so they are forgotten in between."""

from collections.abc import Iterator

import pytest

pytest.importorskip("s3fs")
pytest.importorskip("moto")

import s3fs

from tests.helpers.s3 import Store, serving


@pytest.fixture
def store() -> Iterator[Store]:
    with serving() as server:
        s3fs.S3FileSystem.clear_instance_cache()
        yield server
    s3fs.S3FileSystem.clear_instance_cache()

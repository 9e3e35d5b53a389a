"""A pipeline of the miniature for each test."""

from typing import Any

import pytest

from tests.helpers.small_pipeline import make_pipeline


@pytest.fixture
def pipeline() -> Any:
    return make_pipeline()

import pytest

from tests.helpers.model_server import KEY


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment, for this process and those that it starts."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)

import openai._base_client
import pytest

from ipai.llm import asking
from tests.helpers.model_server import KEY


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment, and short waits where neither server nor settings say how long."""
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setattr(openai._base_client, "INITIAL_RETRY_DELAY", 0.01)
    monkeypatch.setattr(asking, "_FIRST_WAIT", 0.02)

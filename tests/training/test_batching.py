from types import SimpleNamespace
from typing import Any

import pytest

from ipai.config import TrainConfig
from ipai.errors import ConfigError
from ipai.training.batching import Batching


def cut(processes: int, micro: int | None, batch_size: int = 8) -> Batching:
    accelerator: Any = SimpleNamespace(num_processes=processes, process_index=0)
    return Batching.of(TrainConfig(1, batch_size, 0.1, micro_batch_size=micro), accelerator)


@pytest.mark.parametrize(("processes", "micro", "expected"), [(1, None, (8, 1)), (2, None, (4, 1)), (2, 2, (2, 2))])
def test_the_parts_multiply_to_the_batch(processes: int, micro: int | None, expected: tuple[int, int]) -> None:
    batching = cut(processes, micro)
    assert (batching.micro_batch_size, batching.accumulation) == expected
    assert str(batching).startswith("batch 8 = ")


def test_a_batch_that_is_not_divided_is_refused_with_one_that_is() -> None:
    with pytest.raises(ConfigError, match=r"nearest that fits is train\.batch_size=6"):
        cut(3, None)

"""The "average" instruction of a task: the wording of its pool that lies nearest to the pool's mean (paper, Fig. 4).

The paper's ablation of fixed instructions shows it as a cross among the others. A run with
`instructions.source=average` finds its wordings here, once, and goes on as one with these fixed ones.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from ipai.backbones.config import BaseConfig
from ipai.backbones.instruction_encoder import OpenClipInstructionEncoder
from ipai.config import InstructionsConfig
from ipai.instructions.pools import load_pool
from ipai.instructions.slots import fill_slot
from ipai.instructions.table import EmbeddingTable

log = logging.getLogger(__name__)
_NAME = "object"  # fills a slot


def nearest_to_mean(embeddings: Tensor) -> int:
    """The row [N, D] with the largest cosine to the mean of all, each taken at unit length; the first of equals."""
    unit = functional.normalize(embeddings.double(), dim=1)
    return int((unit @ unit.mean(0)).argmax())


def average_instructions(
    instructions: InstructionsConfig, tasks: Sequence[str], base: BaseConfig, device: torch.device
) -> dict[str, str]:
    """Task -> the average wording of its training pool.

    Args:
        instructions: Where the pools lie.
        tasks: Of the run.
        base: Whose instruction encoder embeds the training pools; what it says is kept for later calls.
        device: Where it runs.

    Raises:
        WeightsError: The encoder cannot be had.
        InstructionError: A pool breaks the rules.
    """
    folder = Path(instructions.pools) if instructions.pools else None
    pools = {task: load_pool(task, "train", folder) for task in tasks}
    filled = {task: [fill_slot(text, _NAME) for text in pool] for task, pool in pools.items()}
    encoder = OpenClipInstructionEncoder.from_config(base, device)
    table = EmbeddingTable.build(
        [text for texts in filled.values() for text in texts], encoder.identity, lambda: encoder, mode="pooled"
    )
    fixed = {}
    for task, texts in filled.items():
        tokens, _ = table.embed(texts)
        fixed[task] = pools[task][nearest_to_mean(tokens[:, 0])]
        log.info("the average instruction for %s: %s", task, fixed[task])
    return fixed

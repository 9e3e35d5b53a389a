"""From a batch's texts to what the adapter takes besides the image: instruction, its mask, the prompt or the task."""

from torch import Tensor

from ipai.adapter.spec import AdapterSpec
from ipai.data.collate import Batch
from ipai.instructions.table import EmbeddingTable


class InstructionInputs:
    """Builds the keyword arguments of `InstructAdapter.forward` that belong to the adapter's variant.

    Args:
        spec: Says which inputs the adapter has.
        table: Encodes instructions; None for adapters that read none.
    """

    def __init__(self, spec: AdapterSpec, table: EmbeddingTable | None) -> None:
        self.spec = spec
        self.table = table

    def cut_in(self, batch: Batch) -> int:
        """How many instructions of a batch that was seen are longer than the encoder reads."""
        return 0 if self.table is None else sum(text in self.table.cut for text in batch.instructions)

    def __call__(self, batch: Batch, prompt: Tensor, prompt_mask: Tensor) -> dict[str, Tensor | None]:
        """Inputs for a batch on its device.

        Args:
            batch: B samples.
            prompt: Encoded prompts [B, 77, D].
            prompt_mask: True at their real tokens, [B, 77].
        """
        if self.spec.instruction == "none":
            return {}
        if self.spec.instruction == "task_embedding":
            # Row 0 is the null instruction, which "" stands for everywhere else.
            known = [bool(text) for text in batch.instructions]
            return {"task_index": (batch.task_index + 1) * batch.task_index.new_tensor(known)}
        assert self.table is not None
        tokens, mask = self.table.embed(batch.instructions)
        inputs: dict[str, Tensor | None] = {
            "instruction": tokens.to(prompt.device, non_blocking=True),
            "instruction_mask": mask.to(prompt.device, non_blocking=True),
        }
        if self.spec.prompt_dim is not None:
            inputs |= {"prompt": prompt, "prompt_mask": prompt_mask}
        return inputs

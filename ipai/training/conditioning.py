"""From a batch's texts to what the adapter takes besides the image."""

from torch import Tensor

from ipai.adapter.spec import AdapterSpec
from ipai.backbones.backbone import EncodedPrompts
from ipai.conditioning import Conditioning
from ipai.data.collate import Batch
from ipai.instructions.table import EmbeddingTable


class InstructionInputs:
    """Builds the keyword arguments of `InstructAdapter.forward` that belong to the adapter's variant.

    Args:
        spec: Says which inputs the adapter has.
        table: Encodes instructions; None for adapters that hear none.
    """

    def __init__(self, spec: AdapterSpec, table: EmbeddingTable | None) -> None:
        self.conditioning = Conditioning(spec)
        self.table = table

    def cut_in(self, batch: Batch) -> int:
        """How many instructions of a batch that was seen are longer than the encoder reads."""
        return 0 if self.table is None else sum(text in self.table.cut for text in batch.instructions)

    def __call__(self, batch: Batch, prompts: EncodedPrompts) -> dict[str, Tensor | None]:
        """Inputs for a batch on its device.

        Args:
            batch: B samples.
            prompts: Its encoded prompts.
        """
        pairs = zip(batch.tasks, batch.instructions, strict=True)
        told = [(self.conditioning.told(task, text) or "") if text else "" for task, text in pairs]
        return self.conditioning.inputs(told, self.table, batch.task_index.device, prompts.tokens, prompts.mask)

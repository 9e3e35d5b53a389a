"""What each variant of the adapter is told besides the picture: the only place that knows it.

| `adapter` | `AdapterSpec.instruction` | what it is told |
|---|---|---|
| `instruct` | tokens, or pooled | the instruction, by the image encoder's own text tower |
| `instruct` with `adapter.instruction=task_embedding` | task_embedding | the task's name |
| `instruct_released` | tokens, with `prompt_dim` | the instruction and the prompt, by Stable Diffusion's text encoder |
| `ip_adapter_plus` | none | nothing |

Everywhere "" stands for what was dropped: the null instruction, or no task.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ipai.adapter.spec import AdapterSpec, Instruction
from ipai.adapter.variants import VARIANTS
from ipai.errors import ConfigError, InstructionError
from ipai.instructions.slots import fill_slot, slots_in
from ipai.instructions.table import EmbeddingTable
from ipai.tasks import TASKS, task_index

if TYPE_CHECKING:  # slow to import, and a specification needs none of it
    from ipai.backbones.config import BaseConfig
    from ipai.backbones.dims import BaseDims
    from ipai.backbones.instruction_encoder import OpenClipInstructionEncoder, SdTextInstructionEncoder
    from ipai.config import AdapterConfig

_TEXT_TOKENS = 77


def spec_of(choice: "AdapterConfig", base: "BaseConfig", dims: "BaseDims") -> AdapterSpec:
    """The sizes of the adapter that is configured: the base's, and the branches of its variant."""
    size, variant = base.resampler, VARIANTS[choice.variant]
    told = told_of(choice)
    return AdapterSpec(
        image_dim=dims.image_dim,
        token_dim=dims.token_dim,
        attention_sizes=dims.attention_sizes,
        width=size.width,
        depth=size.depth,
        heads=size.heads,
        head_dim=size.head_dim,
        num_queries=size.num_queries,
        instruction=told,
        instruction_dim=(dims.prompt_dim if variant.reads_prompt else dims.instruction_dim)
        or AdapterSpec.instruction_dim,
        branch_ff_mult=choice.branch_ff_mult,
        prompt_dim=dims.prompt_dim if variant.reads_prompt else None,
        num_tasks=len(TASKS) + 1,  # row 0 is the null instruction
        mask_padding=choice.mask_padding and told != "none",
        attention=dims.attention,
    )


def told_of(choice: "AdapterConfig") -> Instruction:
    """What the configured adapter's instruction branch attends to, see `AdapterSpec.instruction`."""
    return VARIANTS[choice.variant].instruction or choice.instruction  # type: ignore[return-value]


def reads_open_clip(choice: "AdapterConfig") -> bool:
    """Whether instructions are encoded by the image encoder's own text tower, whose files are needed then."""
    return measures_open_clip(choice) and told_of(choice) != "task_embedding"


def measures_open_clip(choice: "AdapterConfig") -> bool:
    """Whether a size of the adapter follows from that tower: a task embedding is as wide as its tokens."""
    return not VARIANTS[choice.variant].reads_prompt and told_of(choice) != "none"


class Conditioning:
    """What an adapter of this specification is told, checked and turned into its inputs."""

    def __init__(self, spec: AdapterSpec) -> None:
        """Take a specification; nothing is loaded."""
        self.spec = spec
        self.is_told = spec.instruction != "none"
        self.hears_words = spec.instruction in ("tokens", "pooled")
        self.reads_prompt = spec.prompt_dim is not None

    def told(self, task: str, instruction: str) -> str | None:
        """What this adapter is told where another would hear an instruction of a task; None if nothing."""
        if self.spec.instruction == "none":
            return None
        return task if self.spec.instruction == "task_embedding" else instruction

    def checked(self, text: str | None, name: str | None) -> str:
        """What somebody tells it, its slot filled with an object's name; "" for adapters that are told nothing.

        Raises:
            InstructionError: It is empty, or its slot has no name.
            ConfigError: The adapter takes none, or it names no task for an adapter with a task embedding.
        """
        if self.spec.instruction == "none":
            if text is not None:
                raise ConfigError("an IP-Adapter Plus takes no instruction; leave it out")
            return ""
        if text is None or not text.strip():
            raise InstructionError('the instruction is empty; say what to take, such as "use the style"')
        if self.spec.instruction == "task_embedding":
            task_index(text)
            return text
        if slots_in(text) and name is None:
            raise InstructionError(
                f"the instruction {text!r} needs the name of an object in its {slots_in(text)[0]}; give it as object=, "
                "for example object=cat, or write it into the instruction"
            )
        return fill_slot(text, name)

    def table(
        self, texts: Sequence[str], base: "BaseConfig", device: torch.device, **options: Any
    ) -> EmbeddingTable | None:
        """What encodes instructions, `texts` at once and others when they come; None for adapters that hear no words.

        Args:
            texts: Known at the start.
            base: Where the encoders lie.
            device: Where they run and the rows are kept.
            options: Further ones of `EmbeddingTable.build`.

        Raises:
            WeightsError: The encoder's files are missing or damaged.
        """
        if not self.hears_words:
            return None
        encoder = self._encoder(base, device)
        mode: Any = self.spec.instruction
        return EmbeddingTable.build(texts, encoder.identity, lambda: encoder, mode=mode, device=device, **options)

    def inputs(
        self,
        told: Sequence[str],
        table: EmbeddingTable | None,
        device: torch.device,
        prompt: Tensor | None = None,
        prompt_mask: Tensor | None = None,
    ) -> dict[str, Tensor | None]:
        """What `InstructAdapter.forward` takes besides the picture.

        Args:
            told: B texts of `told` or `checked`; "" where dropped.
            table: Of `table`.
            device: Where the inputs are wanted.
            prompt: Encoded prompts [B, 77, D]; read by the released variant.
            prompt_mask: True at their real tokens [B, 77], or None; likewise.
        """
        if self.spec.instruction == "none":
            return {}
        if not self.hears_words:
            rows = [task_index(task) + 1 if task else 0 for task in told]
            return {"task_index": torch.tensor(rows).to(device, non_blocking=True)}
        assert table is not None
        tokens, mask = table.embed(told)
        inputs: dict[str, Tensor | None] = {
            "instruction": tokens.to(device, non_blocking=True),
            "instruction_mask": mask.to(device, non_blocking=True),
        }
        if self.reads_prompt:
            inputs |= {"prompt": prompt, "prompt_mask": prompt_mask}
        return inputs

    def example(self) -> dict[str, Tensor]:
        """Inputs of these shapes for a batch of one, on the default device; for counting arithmetic."""
        spec = self.spec
        if spec.instruction == "none":
            return {}
        if not self.hears_words:
            return {"task_index": torch.empty(1, dtype=torch.long)}
        length = 1 if spec.instruction == "pooled" else _TEXT_TOKENS
        inputs = {"instruction": torch.empty(1, length, spec.instruction_dim)}
        if spec.mask_padding:
            inputs["instruction_mask"] = torch.empty(1, _TEXT_TOKENS, dtype=torch.bool)
        if spec.prompt_dim is not None:
            inputs["prompt"] = torch.empty(1, _TEXT_TOKENS, spec.prompt_dim)
            if spec.mask_padding:
                inputs["prompt_mask"] = torch.empty(1, _TEXT_TOKENS, dtype=torch.bool)
        return inputs

    def _encoder(
        self, base: "BaseConfig", device: torch.device
    ) -> "OpenClipInstructionEncoder | SdTextInstructionEncoder":
        from ipai.backbones.instruction_encoder import OpenClipInstructionEncoder, SdTextInstructionEncoder

        kind = SdTextInstructionEncoder if self.reads_prompt else OpenClipInstructionEncoder
        return kind.from_config(base, device)

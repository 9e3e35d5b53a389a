"""How much memory a training step takes, without weights and without its device: a trace of a real step.

The step runs on fake tensors, which have shapes and no content; each storage is counted from where it is made to where
it is freed. Below fp32 it runs under autocast as CUDA has it, which keeps norms in fp32. What a device's allocator and
libraries take besides is not in it: on CUDA 0.5 to 1 GiB for the context, and what fragmentation costs. It was held
against real steps on a CPU, and never against a GPU.
"""

import copy
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.hosts.inject import inject
from ipai.adapter.spec import AdapterSpec
from ipai.backbones.families import FoundBase, family_of
from ipai.backbones.loading import vae_dtype
from ipai.backbones.parts import row_of
from ipai.conditioning import Conditioning
from ipai.config import TrainingRun
from ipai.training.datasets import parts_wanted
from ipai.training.predictor import NoisePredictor, repeated

_MOMENTS = 2  # of AdamW

Needs = Callable[[torch.dtype, int, bool], "StepMemory"]
"""What one process of a run needs in this precision, with micro-batches of that size, gradients of earlier ones kept
or not."""


@dataclass(frozen=True)
class StepMemory:
    """Bytes.

    Attributes:
        frozen: The base's weights, encoders included.
        trained: The adapter's weights, their moving average and AdamW's moments.
        step: The most that a step holds besides: encodings, activations and gradients.
    """

    frozen: int
    trained: int
    step: int

    @property
    def total(self) -> int:
        """All together."""
        return self.frozen + self.trained + self.step


class PeakCounter(TorchDispatchMode):
    """Counts the bytes of what is made while it is on.

    Args:
        networks: Whose weights were there before: views of them are nothing new.

    Attributes:
        peak: The most that were alive at once.
    """

    def __init__(self, *networks: nn.Module) -> None:
        super().__init__()
        self.peak = 0
        tensors = (tensor for network in networks for tensor in [*network.parameters(), *network.buffers()])
        self._before = {tensor.untyped_storage()._cdata for tensor in tensors}
        self._alive: dict[int, int] = {}
        self._now = 0

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation and count what it made."""
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, made)
        return made

    def _count(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._alive or key in self._before:
            return
        self._alive[key] = storage.nbytes()
        self._now += storage.nbytes()
        self.peak = max(self.peak, self._now)
        weakref.finalize(storage, self._freed, key).atexit = False

    def _freed(self, key: int) -> None:
        self._now -= self._alive.pop(key, 0)


def estimate(
    found: FoundBase,
    spec: AdapterSpec,
    dtype: torch.dtype,
    micro_batch_size: int,
    *,
    loaded: Mapping[str, bool],
    averaged: bool,
    accumulated: bool = False,
    draws: int = 1,
    checkpointing: bool = False,
    contrasted: bool = False,
) -> StepMemory:
    """The memory of one process's step.

    Args:
        found: The base, with the configurations of all its parts.
        spec: The adapter.
        dtype: Of the frozen parts; below fp32 the step runs under autocast, as in training.
        micro_batch_size: Samples that are computed at once.
        loaded: Which parts the run loads; what is cached needs no network.
        averaged: There is a moving average of the adapter.
        accumulated: A step has several micro-batches, so that gradients are kept while the next one is computed.
        draws: How often each sample is noised.
        checkpointing: Activations of the denoiser are computed again in the backward pass.
        contrasted: The resampler sees three rows a sample, see `train.instruction_contrast`.
    """
    with FakeTensorMode(allow_non_fake_inputs=True):
        weights = {name: _network(found, name, dtype) for name, wanted in loaded.items() if wanted}
        adapter = InstructAdapter(spec)
        frozen = sum(_bytes(network) for network in weights.values() if network is not None)
        trained = _bytes(adapter) * (1 + _MOMENTS + averaged)
        phases = [
            _encoding_peak(found, weights, micro_batch_size),
            _training_peak(found, weights, adapter, dtype, micro_batch_size, draws, checkpointing, contrasted),
        ]
    return StepMemory(frozen, trained, max(phases) + accumulated * _bytes(adapter))


def _network(found: FoundBase, name: str, dtype: torch.dtype) -> nn.Module | None:
    """A part of the base without content; None for parts that have no weights."""
    row = row_of(name, found.config.family)
    if row.is_tokenizer or len(row.files[0]) == 1:
        return None
    config = found.configs[name]
    if name == family_of(found.config).denoising:
        config = config.config
    own = vae_dtype(dtype) if name == "vae" else dtype
    if row.config is not None:
        config = copy.deepcopy(config)
        config.dtype = own  # some of transformers' classes make their inner network by it
    before = torch.get_default_dtype()
    torch.set_default_dtype(own)
    try:
        made: nn.Module = row.load_class()(config) if row.config is not None else row.load_class().from_config(config)
    finally:
        torch.set_default_dtype(before)
    return made.requires_grad_(False)


def _bytes(network: nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in [*network.parameters(), *network.buffers()])


def _encoding_peak(found: FoundBase, weights: Mapping[str, nn.Module | None], batch: int) -> int:
    """Of encoding conditions and targets, and of decoding a picture of the validation; texts are short beside them."""
    counter = PeakCounter(*(network for network in weights.values() if network is not None))
    with torch.no_grad(), counter:
        for name, side in (("image_encoder", found.config.image_size), ("vae", found.config.resolution)):
            network: Any = weights.get(name)
            if network is None:
                continue
            pixels = torch.empty(batch, 3, side, side, dtype=next(network.parameters()).dtype)
            if name == "vae":
                network.encode(pixels)
                network.decode(torch.empty(1, *found.dims.latent_shape, dtype=pixels.dtype))
            else:
                network.vision_model(pixels)
    return counter.peak


def _training_peak(
    found: FoundBase,
    weights: Mapping[str, nn.Module | None],
    adapter: InstructAdapter,
    dtype: torch.dtype,
    batch: int,
    draws: int,
    checkpointing: bool,
    contrasted: bool,
) -> int:
    """Of denoiser and adapter, forward and backward."""
    family, dims, rows = family_of(found.config), found.dims, batch * draws
    denoiser: Any = weights[family.denoising]
    if checkpointing:
        denoiser.enable_gradient_checkpointing()
    counter, read = PeakCounter(denoiser, adapter), batch * (3 if contrasted else 1)
    with _installed(denoiser, adapter) as predictor, _norms_as_on_cuda(dtype), counter:
        told = {name: _rows(value, read) for name, value in Conditioning(adapter.spec).example().items()}
        prompts = repeated(family.example_prompt(dims), rows)
        inputs = {
            "noisy_latents": torch.empty(rows, *dims.latent_shape),
            "timesteps": torch.zeros(rows, dtype=torch.long),
            "prompt_arguments": {name: _in(value, dtype) for name, value in prompts.items()},
            "cond_tokens": torch.empty(read, dims.image_tokens, dims.image_dim, dtype=dtype),
            **told,
        }
        with torch.autocast("cpu", dtype, enabled=dtype is not torch.float32):
            # The first rows are those that are drawn for, as in training.
            prediction, tokens = predictor(**inputs, draws=draws)
            loss = prediction.float().square().mean() + tokens.float().mean()
        loss.backward()
    return counter.peak


@contextmanager
def _norms_as_on_cuda(dtype: torch.dtype) -> Iterator[None]:
    """Below fp32, group and layer norms of fp32 numbers: autocast has them so on CUDA, and not on CPUs."""
    if dtype is torch.float32:
        yield
        return
    group, layer = functional.group_norm, functional.layer_norm

    def wide(value: Tensor | None) -> Tensor | None:
        return None if value is None else value.float()

    def group_norm(values: Tensor, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
        return group(values.float(), groups, wide(weight), wide(bias), eps)

    def layer_norm(values: Tensor, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Tensor:
        return layer(values.float(), shape, wide(weight), wide(bias), eps)

    with patch.object(functional, "group_norm", group_norm), patch.object(functional, "layer_norm", layer_norm):
        yield


@contextmanager
def _installed(denoiser: Any, adapter: InstructAdapter) -> Iterator[NoisePredictor]:
    injection = inject(denoiser, adapter)
    try:
        yield NoisePredictor(injection)
    finally:
        injection.eject()


def _rows(value: Tensor, count: int) -> Tensor:
    return value.expand(count, *value.shape[1:]).contiguous()


def _in(value: Any, dtype: torch.dtype) -> Any:
    if isinstance(value, dict):
        return {name: _in(item, dtype) for name, item in value.items()}
    return value.to(dtype) if value.is_floating_point() else value


def traced(config: TrainingRun, found: FoundBase, spec: AdapterSpec) -> Needs:
    """`memory_of` a run whose settings stay as they are: no size is traced twice, which takes seconds each."""
    return cache(partial(memory_of, config, found, spec))


def memory_of(
    config: TrainingRun,
    found: FoundBase,
    spec: AdapterSpec,
    dtype: torch.dtype,
    micro_batch_size: int,
    accumulated: bool,
) -> StepMemory:
    """What one process of a run needs; see `Needs`."""
    wanted, train = parts_wanted(config), config.train
    return estimate(
        found, spec, dtype, micro_batch_size,
        loaded={part: part in wanted for part in family_of(config.base).parts},
        averaged=train.ema_half_life is not None,
        accumulated=accumulated,
        draws=train.draws_per_sample,
        checkpointing=train.gradient_checkpointing,
        contrasted=bool(train.instruction_contrast),
    )  # fmt: skip

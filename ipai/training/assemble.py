"""Builds everything a training run needs from its configuration: the one place where the rooms meet."""

import logging

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ipai.adapter.adapter import InstructAdapter, initialise
from ipai.adapter.formats import load_ip_adapter_plus
from ipai.adapter.hosts.inject import inject, start_from_base
from ipai.adapter.hosts.injection import Injection
from ipai.adapter.spec import AdapterSpec
from ipai.backbones.backbone import Backbone
from ipai.backbones.config import INSTRUCTION_ENCODER
from ipai.backbones.dims import BaseDims
from ipai.backbones.families import FoundBase, family_of, find_base
from ipai.backbones.hub import resolve_file
from ipai.backbones.loading import warn_of_slow
from ipai.caching.identity import identity_of
from ipai.conditioning import Conditioning, measures_open_clip, reads_open_clip, spec_of
from ipai.config import TrainingRun
from ipai.data.cache import IMAGE_TOKENS, null_tokens
from ipai.data.dataset import TrainingDataset, ValidationDataset
from ipai.errors import ConfigError
from ipai.instructions.slots import slots_in
from ipai.instructions.table import EmbeddingTable
from ipai.objective import Objective, make_objective, objectives, settings_of
from ipai.training.batching import Batching
from ipai.training.collective_errors import CollectiveErrors
from ipai.training.conditioning import InstructionInputs
from ipai.training.datasets import build_datasets, facts_of, instructions_of, micro_batch_stream, parts_wanted
from ipai.training.ema import MovingAverage
from ipai.training.facts import RunFacts, Speedometer
from ipai.training.flops import count_step_flops, matmul_ceiling
from ipai.training.init_from import start_from
from ipai.training.instruction_contrast import InstructionContrast
from ipai.training.loop import Parts
from ipai.training.made_from import made_from
from ipai.training.predictor import NoisePredictor
from ipai.training.step import DenoisingStep
from ipai.training.validation import ValidationImages, Validator
from ipai.training.validation_scores import ClipDuringTraining

log = logging.getLogger(__name__)


def assemble(config: TrainingRun, accelerator: Accelerator) -> Parts:
    """Load the data and the frozen base, make the adapter, and connect them.

    Raises:
        IpaiError: Shards, pools or weights cannot be used.
    """
    device, batching = accelerator.device, Batching.of(config.train, accelerator)
    warn_of_slow(config.base.dtype, device)
    found = find_parts(config)
    training, validation = build_datasets(config, found.dims)  # before weights are loaded, which takes a minute
    base = found.load(device, parts_wanted(config))
    objective = build_objective(config, base)

    adapter = build_adapter(config, found.dims, base).to(device)
    injection = inject(base.denoiser, adapter)
    module = build_predictor(config, base, injection)
    with accelerator.main_process_first():  # the others then find its file
        table = build_table(config, adapter.spec, device)
    instructions = InstructionInputs(adapter.spec, table)
    contrast = InstructionContrast(base) if config.train.instruction_contrast else None
    step = DenoisingStep(base, module, instructions, objective, null_condition(config, base, training), contrast)
    facts = measure_facts(step, found, batching, device, config.train.draws_per_sample)

    step.predictor = wrap(module, accelerator)
    parameters = {name: p for name, p in adapter.named_parameters() if p.requires_grad}
    half_life = config.train.ema_half_life
    validator = Validator(step, validation, batching.micro_batch_size, batching.rank, batching.processes)
    return Parts(
        accelerator=accelerator,
        step=step,
        optimizer=build_optimizer(config, list(parameters.values())),
        ema=MovingAverage(parameters, half_life) if half_life is not None else None,
        validator=validator,
        images=build_validation_images(config, validator, injection, accelerator) if config.validation.images else None,
        fetch_validation=validation.fetch,
        collective=CollectiveErrors(config.data.is_remote, config.data.store.patience_minutes * 60),
        micro_batches=micro_batch_stream(config, training, batching, pin_memory=device.type == "cuda"),
        keys_of=training.keys_of,
        accumulation=batching.accumulation,
        speed=Speedometer(facts, device),
        metadata=metadata_of(config),
        data_sets=facts_of(config.data, training.shards) if accelerator.is_main_process else {},
        made_from=origin_of(config, found, training, validation) if accelerator.is_main_process else {},
    )


def find_parts(config: TrainingRun) -> FoundBase:
    """Where the parts of the base lie that the run is made of; all of them, though what is cached is not loaded.

    Raises:
        WeightsError: A part is missing, or they do not fit together.
    """
    family = family_of(config.base)
    found = find_base(config.base, family.parts)
    if not measures_open_clip(config.adapter):
        return found
    reads = reads_open_clip(config.adapter)
    return found.joined(find_base(config.base, [INSTRUCTION_ENCODER], weights=reads))


def origin_of(
    config: TrainingRun, found: FoundBase, training: TrainingDataset, validation: ValidationDataset
) -> dict[str, str]:
    """Digests of all that decides the numbers; see `made_from`."""
    parts = [*parts_wanted(config), *([INSTRUCTION_ENCODER] if reads_open_clip(config.adapter) else [])]
    return made_from(
        config,
        [*training.shards.values(), *validation.shards.values()],
        {split: instructions_of(config, split) for split in ("train", "val")},
        {part: found.folders[part] for part in parts},
    )


def build_validation_images(
    config: TrainingRun, validator: Validator, injection: Injection, accelerator: Accelerator
) -> ValidationImages:
    """What draws the validation's pictures, with the CLIP that scores them in the first process.

    Raises:
        WeightsError: That CLIP cannot be had.
    """
    choice, score = config.validation, None
    if choice.clip_model is not None and accelerator.is_main_process:
        score = ClipDuringTraining(choice.clip_model, choice.clip_pretrained, accelerator.device)
    return ValidationImages(validator, injection, choice, accelerator, score)


def null_condition(config: TrainingRun, base: Backbone, training: TrainingDataset) -> Tensor:
    """The encoding of a dropped image; from a cache, each of which holds it, if those of the other images are there."""
    if config.data.image_tokens == "online":
        return base.null_condition()
    identity = identity_of(IMAGE_TOKENS, config.base, config.data.buckets)
    cache = config.data.cache_of(next(iter(training.shards)))
    return null_tokens(cache, identity).to(base.device, base.denoiser.dtype)


def build_objective(config: TrainingRun, base: Backbone) -> Objective:
    """What the denoiser learns, on the base's noise schedule.

    Raises:
        ConfigError: A setting of it cannot work, or the base predicts something else.
    """
    settings_of(str(config.objective["name"]))  # refuses unknown names
    kinds, name = objectives(), str(config.objective["name"])
    if base.predicts != kinds[name].scheduler:
        fitting = [other for other, kind in kinds.items() if kind.scheduler == base.predicts]
        raise ConfigError(
            f"objective={name} is for bases that predict {kinds[name].scheduler}, and {config.base.name} predicts "
            f"{base.predicts}, as its scheduler says; choose objective={' or '.join(fitting) or '?'}"
        )
    return make_objective(config.objective, base.schedule)


def build_adapter(config: TrainingRun, dims: BaseDims, base: Backbone) -> InstructAdapter:
    """The adapter at step 0: `train.init_from`, or the base's IPAdapter+ and a new branch that does nothing yet."""
    seed = config.train.seed
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapter = InstructAdapter(spec_of(config.adapter, config.base, dims))
    if config.train.init_from is not None:
        start_from(adapter, config.train.init_from, seed, config.adapter.init_sigma)
        return adapter
    if config.base.adapter_init is None:
        log.warning("base %s has no IPAdapter+ weights: the adapter starts from RANDOM values", config.base.name)
        start_from_base(adapter, base.denoiser, seed)
    else:
        load_ip_adapter_plus(adapter, resolve_file(config.base.adapter_init))
    initialise(adapter, seed, config.adapter.init_sigma)
    return adapter


def build_predictor(config: TrainingRun, base: Backbone, injection: Injection) -> NoisePredictor:
    """The denoiser with the injected adapter, and the options that trade memory or start-up for speed."""
    if config.train.gradient_checkpointing:
        base.denoiser.enable_gradient_checkpointing()
    if config.train.channels_last:
        base.use_channels_last()
    if config.train.compile:
        base.denoiser.compile_repeated_blocks()
    return NoisePredictor(injection)


def build_table(config: TrainingRun, spec: AdapterSpec, device: torch.device) -> EmbeddingTable | None:
    """What encodes instructions, for adapters that hear them; those without a slot are encoded now, once."""
    pools = [instructions_of(config, split) for split in ("train", "val")]
    texts = [text for pool in pools for texts in pool.values() for text in texts if not slots_in(text)]
    with tqdm(total=len(texts), unit="text", desc="instructions", delay=2, leave=False) as bar:
        return Conditioning(spec).table(
            texts, config.base, device,
            max_rows=config.instructions.cached_rows, progress=lambda done, _: bar.update(done - bar.n),
        )  # fmt: skip


def build_optimizer(config: TrainingRun, parameters: list[nn.Parameter]) -> torch.optim.AdamW:
    """Fused AdamW on the adapter's fp32 parameters."""
    train = config.train
    return torch.optim.AdamW(
        parameters, lr=train.learning_rate, betas=train.betas, eps=train.epsilon,
        weight_decay=train.weight_decay, fused=True,
    )  # fmt: skip


def wrap(module: NoisePredictor, accelerator: Accelerator) -> nn.Module:
    """Autocast, and DDP if there are several processes; the frozen weights are not sent around."""
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, module.frozen_names())
    wrapped: nn.Module = accelerator.prepare_model(module)
    return wrapped


def measure_facts(
    step: DenoisingStep, found: FoundBase, batching: Batching, device: torch.device, draws: int
) -> RunFacts:
    """Count parameters and the FLOPs of one sample, and measure what this device can do."""
    parameters = list(step.module.parameters())
    return RunFacts(
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        frozen_parameters=sum(p.numel() for p in parameters if not p.requires_grad),
        flops_per_sample=count_step_flops(found, step.module.adapter.spec, draws),
        ceiling=matmul_ceiling(device, step.base.denoiser.dtype),
        batching=batching,
    )


def metadata_of(config: TrainingRun) -> dict[str, str]:
    """What a saved adapter says of where it belongs."""
    base, denoising = config.base, family_of(config.base).denoising
    return {
        "base": base.name,
        f"base_{denoising}": str(getattr(base, denoising)),
        "base_image_encoder": str(base.image_encoder),
        "instruction_encoder": str(base.instruction_encoder if reads_open_clip(config.adapter) else base.text_encoder),
        "random_weights": str(base.random_weights).lower(),
        "experiment": config.names.experiment,
        "recipe": config.names.recipe,
        **({"init_from": config.train.init_from} if config.train.init_from else {}),
        "tasks": ",".join(config.tasks),
    }

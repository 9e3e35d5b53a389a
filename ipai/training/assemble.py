"""Builds everything a training run needs from its configuration: the one place where the rooms meet."""

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from ipai.adapter.adapter import InstructAdapter, initialise
from ipai.adapter.formats import load_ip_adapter_plus
from ipai.adapter.hosts.inject import inject, start_from_text_attention
from ipai.adapter.hosts.injection import Injection
from ipai.adapter.spec import AdapterSpec
from ipai.backbones.backbone import Backbone
from ipai.backbones.config import INSTRUCTION_ENCODER
from ipai.backbones.dims import BaseDims
from ipai.backbones.families import FoundBase, family_of, find_base
from ipai.backbones.hub import resolve_file
from ipai.caching.identity import identity_of
from ipai.conditioning import Conditioning, measures_open_clip, reads_open_clip, spec_of
from ipai.config import TrainingRun
from ipai.data.cache import IMAGE_TOKENS, LATENTS, CachedArrays, null_tokens
from ipai.data.collate import Batch
from ipai.data.dataset import TrainingDataset, ValidationDataset
from ipai.data.loader import SlotBatches, make_loader, micro_batches
from ipai.data.order import SampleOrder
from ipai.data.prefetch import fetched_ahead
from ipai.data.remote_shards import open_shards
from ipai.data.sample_images import Cached, Sizes
from ipai.data.shard_shuffle import ShardWindows
from ipai.data.shards import NoShardsError, ShardSet
from ipai.errors import ConfigError, DataError
from ipai.instructions.pools import load_pool
from ipai.instructions.slots import slots_in
from ipai.instructions.table import EmbeddingTable
from ipai.objective import Objective, make_objective, objectives
from ipai.training.batching import Batching
from ipai.training.collective_errors import CollectiveErrors
from ipai.training.conditioning import InstructionInputs
from ipai.training.ema import MovingAverage
from ipai.training.facts import RunFacts, Speedometer
from ipai.training.flops import count_step_flops, matmul_ceiling
from ipai.training.init_from import start_from
from ipai.training.instruction_contrast import InstructionContrast
from ipai.training.loop import Parts
from ipai.training.made_from import made_from, refuse_shared_samples
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
    step = DenoisingStep(base, module, instructions, objective, null_condition(config, base), contrast)
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


def parts_wanted(config: TrainingRun) -> list[str]:
    """The networks of the base that this run computes with: what is cached is not loaded."""
    spared = set()
    if config.data.latents == "cache" and not (config.validation.samples and config.validation.images):
        spared.add("vae")
    if config.data.image_tokens == "cache" and not config.train.instruction_contrast:
        spared.add("image_encoder")
    return [part for part in family_of(config.base).parts if part not in spared]


def null_condition(config: TrainingRun, base: Backbone) -> Tensor:
    """The encoding of a dropped image, from the cache if those of the other images come from there."""
    if config.data.image_tokens == "online":
        return base.null_condition()
    identity = identity_of(IMAGE_TOKENS, config.base)
    return null_tokens(config.data.cache_root, identity).to(base.device, base.denoiser.dtype)


def build_objective(config: TrainingRun, base: Backbone) -> Objective:
    """What the denoiser learns, on the base's noise schedule.

    Raises:
        ConfigError: A setting of it cannot work, or the base predicts something else.
    """
    objective = make_objective(config.objective, base.scheduler.alphas_cumprod.to(base.device))
    predicted = base.scheduler.config["prediction_type"]
    if predicted != objective.scheduler:
        fitting = [name for name, kind in objectives().items() if kind.scheduler == predicted]
        raise ConfigError(
            f"objective={objective.name} is for bases that predict {objective.scheduler}, and the scheduler of "
            f"{config.base.name} has prediction_type {predicted}; choose objective={' or '.join(fitting) or '?'}"
        )
    return objective


def build_datasets(config: TrainingRun, dims: BaseDims) -> tuple[TrainingDataset, ValidationDataset]:
    """The training samples by (step, slot), and the fixed validation samples.

    Raises:
        IpaiError: A task has no shards, a shard is damaged, or a pool breaks the rules.
    """
    seed = config.train.seed
    sizes = Sizes(dims.resolution, dims.image_size, dims.latent_shape)
    train_shards = open_all_shards(config, config.tasks, "train")
    order = SampleOrder(
        seed=seed,
        batch_size=config.train.batch_size,
        sizes={task: len(shards) for task, shards in train_shards.items()},
        weights={task: config.data.weights.get(task, 1.0) for task in config.tasks},
        windows=shard_windows(config, train_shards),
    )
    pools = instructions_of(config, "train")
    cached = open_caches(config, train_shards)
    # Encoded as conditions are, or asked for how they were framed, whatever is cached of them.
    targets = bool(config.train.instruction_contrast) or family_of(config.base).sees_framing
    training = TrainingDataset(
        train_shards, order, pools, config.data, seed, sizes, cached, config.train.draws_per_sample, targets
    )
    held_out = config.tasks if config.validation.samples else []
    validation_shards = open_all_shards(config, held_out, "val")
    refuse_shared_samples(train_shards, validation_shards)
    pools = instructions_of(config, "val")
    cached = open_caches(config, validation_shards)
    validation = ValidationDataset(validation_shards, pools, config.data, config.validation.samples, sizes, cached)
    return training, validation


def open_all_shards(config: TrainingRun, tasks: Sequence[str], split: str) -> dict[str, ShardSet]:
    """The shards of each task.

    Raises:
        DataError: Some have none: all of these are named, with the ways out; or a shard is damaged.
    """
    found: dict[str, ShardSet] = {}
    missing: list[str] = []
    for task in tasks:
        try:
            found[task] = open_shards(config.data.root, task, split, config.data.store)
        except NoShardsError:
            missing.append(task)
    if missing:
        ways = ["build them (make build-datasets)", "set data.root to the folder that holds them"]
        ways += ["validate nothing: validation.samples=0"] if split == "val" else []
        ways += [f"train on what is there: 'tasks=[{','.join(found)}]'"] if found else []
        ways += ["run `make demo`, which builds the toy world's"] if config.names.recipe == "toy" else []
        raise DataError(
            f"there are no {split}-*.tar of {', '.join(missing)} in {config.data.root}/<task>; {', or '.join(ways)}"
        )
    return found


def shard_windows(config: TrainingRun, shards: dict[str, ShardSet]) -> dict[str, ShardWindows]:
    """How each task's shards are mixed, if not as a whole."""
    window = config.data.shuffle_shards
    if window is None:
        return {}
    return {task: ShardWindows(held.counts, window, config.train.seed, task) for task, held in shards.items()}


def open_caches(config: TrainingRun, shards: dict[str, ShardSet]) -> dict[str, Cached]:
    """What was computed of the samples beforehand, as far as the configuration asks for it.

    Raises:
        DataError: It is missing, stale or foreign.
    """
    wanted = {LATENTS: config.data.latents, IMAGE_TOKENS: config.data.image_tokens}
    identities = {kind: identity_of(kind, config.base) for kind, source in wanted.items() if source == "cache"}
    root = config.data.cache_root
    return {
        task: Cached(**{kind: CachedArrays.open(root, held, identity) for kind, identity in identities.items()})
        for task, held in shards.items()
    }


def instructions_of(config: TrainingRun, split: str) -> dict[str, tuple[str, ...]]:
    """The instructions a task's samples draw from: its pool, or its one fixed wording."""
    if config.instructions.source == "fixed":
        return {task: (config.instructions.fixed[task],) for task in config.tasks}
    folder = Path(config.instructions.pools) if config.instructions.pools else None
    return {task: load_pool(task, split, folder) for task in config.tasks}


def micro_batch_stream(
    config: TrainingRun, training: TrainingDataset, batching: Batching, pin_memory: bool
) -> Callable[[int], Iterator[Batch]]:
    """A function from a step to this process's micro-batches from there on; starting costs the same anywhere."""

    def start(step: int) -> Iterator[Batch]:
        batches = SlotBatches(
            step, config.train.steps, config.train.batch_size, batching.micro_batch_size,
            batching.rank, batching.processes,
        )  # fmt: skip
        loader = make_loader(training, batches, config.data.workers, config.data.prefetch, pin_memory)
        return fetched_ahead(training, batches, loader) if config.data.is_remote else micro_batches(loader)

    return start


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
        start_from_text_attention(adapter, base.denoiser)
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

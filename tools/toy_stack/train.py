"""The whole stack, part after part, each from where it was left: the way from an empty folder to weights that ship."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.controlnets.controlnet import ControlNetModel
from open_clip import SimpleTokenizer
from torch import Tensor, nn
from transformers import CLIPTokenizer, CLIPVisionModelWithProjection

from ipai.adapter.adapter import InstructAdapter
from ipai.adapter.formats import load_ip_adapter_plus
from ipai.adapter.hosts.inject import inject, start_from_base
from ipai.errors import WeightsError
from ipai.files import atomic_path
from ipai.toyworld.oracles import KINDS, Oracle, truth_of
from tools.toy_stack import (
    adapter,
    clip,
    clip_text,
    controlnet,
    diffusion,
    oracle_training,
    start,
    tokens,
    transformer,
    vae,
)
from tools.toy_stack.rendered_set import HELD_OUT_SEED, TRAIN_SEED, Pictures, draw_pictures
from tools.toy_stack.sizes import IP_ADAPTER_FILE, PROMPT_CONTEXT, TRANSFORMER_IP_ADAPTER_FILE
from tools.toy_stack.stage import Losses, Stage, StageSettings

log = logging.getLogger(__name__)

PARTS = (
    "vae",
    "clip",
    "finished_vae",
    "denoiser",
    "transformer",
    "ip_adapter",
    "transformer_ip_adapter",
    "controlnet",
    "oracles",
)
"""What `only` may name: properties of `StackTraining`."""


@dataclass
class StackConfig:
    """Everything that decides the weights, and where they go.

    Attributes:
        output: Folder for the finished stack, in the hub's layout.
        work: Folder for the state of every part, so that a stopped training continues.
        start: A finished stack of the same sizes to go on from, or None: its tokenizer and the VAE's encoder stay, all
            else but the oracles learns on from its weights.
        only: Train this part and what it stands on, then stop; None for all and the finished stack.
        seed: Of first weights, batches and noise.
        threads: Of the CPU; other numbers round differently, so the weights agree only to rounding.
        scenes, portraits: Pictures to train on.
        vae_gate: Refuse to train on a VAE that does not beat the best linear code of its length.
        samples: Held-out pictures of each kind that are measured at the end.
        vae, clip, clip_text, decoder, unet, transformer, ip_adapter, ip_adapter_detail, transformer_ip_adapter,
            transformer_ip_adapter_detail, controlnet, oracles: Length and rate of each part.
    """

    output: str
    work: str
    start: str | None
    only: str | None = field(metadata={"one_of": PARTS})
    seed: int
    threads: int
    scenes: int
    portraits: int
    vae_gate: bool
    samples: int
    vae: StageSettings
    clip: StageSettings
    clip_text: StageSettings
    decoder: StageSettings
    unet: StageSettings
    transformer: StageSettings
    ip_adapter: StageSettings
    ip_adapter_detail: StageSettings
    transformer_ip_adapter: StageSettings
    transformer_ip_adapter_detail: StageSettings
    controlnet: StageSettings
    oracles: StageSettings


Report = Callable[[str, int, int, dict[str, float]], None]  # part, step, of how many, losses


class StackTraining:
    """Each part as a property: trained when it is first asked for, or read back if it is done.

    Args:
        config: See `StackConfig`.
        report: Called now and then while a part is trained.
    """

    def __init__(self, config: StackConfig, report: Report) -> None:
        self.config = config
        self.histories: dict[str, list[dict[str, float]]] = {}
        self._report = report
        self._work = Path(config.work)
        self._work.mkdir(parents=True, exist_ok=True)
        self._start = Path(config.start) if config.start else None
        torch.set_num_threads(config.threads)

    @cached_property
    def pictures(self) -> Pictures:
        """What every part is trained on."""
        return draw_pictures(TRAIN_SEED, self.config.scenes, self.config.portraits)

    @cached_property
    def held_out(self) -> Pictures:
        """Pictures that no part is trained on."""
        return draw_pictures(HELD_OUT_SEED, 1000, 500)

    @cached_property
    def open_clip_tokenizer(self) -> SimpleTokenizer:
        """Of instructions and rich captions; learned once, so that a continued training has the same."""
        path = self._work / tokens.MERGES_FILE
        if not path.exists():
            merges = start.merges_of(self._start) if self._start else tokens.learn_merges()
            tokens.write_open_clip_merges(merges, self._work)
        return SimpleTokenizer(bpe_path=str(path))

    @cached_property
    def tokenizer(self) -> CLIPTokenizer:
        """Of prompts."""
        return tokens.clip_tokenizer(self.open_clip_tokenizer, PROMPT_CONTEXT)

    @cached_property
    def vae(self) -> AutoencoderKL:
        """Raises WeightsError if it does not beat the best linear code of its size."""
        if self._start:
            return start.vae_of(self._start)
        settings = self.config.vae
        model = vae.fresh_vae(self.pictures, self.config.seed)
        self._train("vae", model, partial(vae.vae_loss, model, self.pictures, settings.batch_size), settings)
        every_fortieth = self.pictures.images(torch.arange(0, len(self.pictures), 40))
        vae.standardise_latents(model, every_fortieth)
        error, linear = vae.errors_beside_pca(model, self.pictures, self.held_out)
        log.info("vae: mean squared error %.5f, of the best linear code %.5f", error, linear)
        if self.config.vae_gate and error >= linear:
            raise WeightsError(
                f"the VAE's error {error:.5f} is above the best linear code's {linear:.5f}; train it longer"
            )
        return model

    @cached_property
    def latents(self) -> Tensor:
        """Of all pictures, computed once."""
        path = self._work / "latents.pt"
        if not path.exists():
            with atomic_path(path) as aside:
                torch.save(vae.encode_all(self.vae, self.pictures), aside)
        latents: Tensor = torch.load(path, weights_only=True)
        return latents

    @cached_property
    def clip(self) -> clip.ClipWithHeads:
        """Both towers; the text's learns afterwards what instructions are about."""
        settings, tokenizer = self.config.clip, self.open_clip_tokenizer
        model = clip.ClipWithHeads(tokenizer.vocab_size, self.config.seed)
        if self._start:
            start.fill(model.clip, self._start / "instruction_encoder")
        targets = clip.factor_targets(self.pictures)
        loss = partial(clip.clip_loss, model, tokenizer, self.pictures, targets, settings.batch_size)
        self._train("clip", model, loss, settings)
        settings = self.config.clip_text
        reader = clip_text.TextTowerWithTopics(model, self.config.seed)
        loss = partial(clip_text.text_loss, reader, tokenizer, self.pictures, settings.batch_size)
        self._train("clip_text", reader, loss, settings)
        return model

    @cached_property
    def image_tower(self) -> CLIPVisionModelWithProjection:
        """Of the CLIP, in transformers' form."""
        return clip.image_tower(self.clip.clip).requires_grad_(False)

    @cached_property
    def finished_vae(self) -> AutoencoderKL:
        """The VAE whose decoder learned on, now that there is a CLIP to see what it blurs."""
        settings = self.config.decoder
        model = vae.with_free_decoder(copy.deepcopy(self.vae))
        loss = partial(vae.decoder_loss, model, self.image_tower, self.pictures, settings.batch_size)
        self._train("decoder", model, loss, settings)
        return model

    @cached_property
    def denoiser(self) -> diffusion.Denoiser:
        """UNet and text encoder."""
        settings = self.config.unet
        model = diffusion.Denoiser(self.open_clip_tokenizer.vocab_size, self.config.seed)
        if self._start:
            start.fill(model.unet, self._start / "unet")
            start.fill(model.text_encoder, self._start / "text_encoder")
        schedule = diffusion.noise_schedule()
        loss = partial(
            diffusion.denoiser_loss, model, schedule, self.tokenizer, self.pictures, self.latents, settings.batch_size
        )
        self._train("unet", model, loss, settings)
        model.requires_grad_(False)
        return model

    @cached_property
    def transformer(self) -> transformer.AlignedTransformer:
        """The denoiser of the newer kind, with its text encoder."""
        settings = self.config.transformer
        text_encoder = copy.deepcopy(self.denoiser.text_encoder).requires_grad_(True)
        model = transformer.AlignedTransformer(
            transformer.fresh_transformer(self.config.seed), text_encoder, self.config.seed
        )
        for part, name in ((model.transformer, "transformer"), (text_encoder, "transformer_text_encoder")):
            if self._start and (self._start / name).is_dir():  # the first stacks had none
                start.fill(part, self._start / name)
        parts = (self.image_tower, self.tokenizer, self.pictures, self.latents, settings.batch_size)
        self._train("transformer", model, partial(transformer.flow_loss, model, *parts), settings)
        return model.requires_grad_(False)

    @cached_property
    def ip_adapter(self) -> InstructAdapter:
        """IPAdapter+ for this base."""
        settings = self.config.ip_adapter
        base = self.denoiser
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            model = InstructAdapter(adapter.plus_spec(base.unet))
        start_from_base(model, base.unet, self.config.seed)
        if self._start:
            load_ip_adapter_plus(model, self._start / IP_ADAPTER_FILE)
        injection = inject(base.unet, model)
        frozen = (base.unet, base.text_encoder, self.image_tower, diffusion.noise_schedule(), self.tokenizer)
        for name, stage in (("ip_adapter", settings), ("ip_adapter_detail", self.config.ip_adapter_detail)):
            parts = (self.pictures, self.latents, stage.batch_size, name == "ip_adapter_detail")
            self._train(name, model, partial(adapter.adapter_loss, model, *frozen, *parts), stage)
        injection.eject()
        return model

    @cached_property
    def transformer_ip_adapter(self) -> InstructAdapter:
        """IPAdapter+ for the transformer; it begins to read pictures as the UNet's does."""
        base = self.transformer
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            model = InstructAdapter(adapter.plus_spec(base.transformer))
        start_from_base(model, base.transformer, self.config.seed)
        file = self._start / TRANSFORMER_IP_ADAPTER_FILE if self._start else None
        if file and file.exists():  # the first stacks had none
            load_ip_adapter_plus(model, file)
        else:
            adapter.take_over_reading(model, self.ip_adapter)
        injection = inject(base.transformer, model)
        frozen = (base.text_encoder, self.image_tower, self.tokenizer)
        for name in ("transformer_ip_adapter", "transformer_ip_adapter_detail"):
            settings: StageSettings = getattr(self.config, name)
            loss = partial(adapter.flow_adapter_loss, injection, *frozen, self.pictures, self.latents)
            drawn = {"batch_size": settings.batch_size, "detail": name.endswith("_detail")}
            self._train(name, model, partial(loss, **drawn), settings)
        injection.eject()
        return model

    @cached_property
    def controlnet(self) -> ControlNetModel:
        """Of scribbles."""
        settings = self.config.controlnet
        base = self.denoiser
        model = controlnet.fresh_controlnet(base.unet, self.config.seed)
        if self._start:
            start.fill(model, self._start / "controlnet")
        frozen = (base.unet, base.text_encoder, diffusion.noise_schedule(), self.tokenizer)
        loss = partial(controlnet.controlnet_loss, model, *frozen, self.pictures, self.latents, settings.batch_size)
        self._train("controlnet", model, loss, settings)
        return model

    @cached_property
    def oracles(self) -> dict[str, Oracle]:
        """One for each kind of picture."""
        settings, result = self.config.oracles, {}
        for kind, factors in KINDS.items():
            net = oracle_training.fresh_net(kind, self.config.seed)
            truth = truth_of(getattr(self.pictures, kind), factors)
            pixels = self.pictures.part(kind)
            loss = partial(oracle_training.oracle_loss, net, pixels, truth, settings.batch_size)
            self._train(f"oracle-{kind}", net, loss, settings)
            truth = truth_of(getattr(self.held_out, kind), factors)
            result[kind] = oracle_training.measured(kind, net, self.held_out.part(kind), truth)
        return result

    def _train(
        self, name: str, model: nn.Module, loss: Callable[[torch.Generator], Losses], settings: StageSettings
    ) -> None:
        stage = Stage(name, model, loss, settings, self._work, self.config.seed)
        for progress in stage.run():
            self._report(name, progress.step, settings.steps, progress.losses)
        self.histories[name] = stage.history

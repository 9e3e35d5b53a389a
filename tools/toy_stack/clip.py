"""The toy CLIP: trained on rich captions, so that its picture tokens hold style, place and identity.

A contrastive loss alone finds colours and styles and leaves the class of the object at chance for a long time. So
linear heads also read every factor, from the tokens that the adapter will read and from the pooled embedding; they
are thrown away afterwards. Among the tokens the surest one decides: an object covers few of them.
"""

import json
from pathlib import Path
from typing import Any

import torch
from open_clip import CLIP, SimpleTokenizer
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
from transformers.utils.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from ipai.files import write_json
from ipai.toyworld.factors import CHOICES, Portraits, Scenes
from tools.toy_stack.rendered_set import Pictures, draw_rows, draw_variants
from tools.toy_stack.sizes import CLIP_TEXT, CLIP_VISION, TEXT_WIDTH
from tools.toy_stack.stage import Losses
from tools.toy_stack.tokens import MERGES_FILE

_HEADS = 3.0  # weight of the factor heads' loss
_ABSENT = -100  # what cross_entropy ignores


def model_config(vocabulary: int) -> dict[str, Any]:
    """open_clip's configuration; the tokenizer's merges lie beside the weights."""
    text = {**CLIP_TEXT, "vocab_size": vocabulary, "tokenizer_kwargs": {"bpe_path": MERGES_FILE}}
    return {"embed_dim": TEXT_WIDTH, "vision_cfg": dict(CLIP_VISION), "text_cfg": text}


class ClipWithHeads(nn.Module):
    """An open_clip model and, beside it, linear heads for every factor."""

    def __init__(self, vocabulary: int, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.clip = CLIP(
                **json.loads(json.dumps(model_config(vocabulary)))
            )  # open_clip may change what it is given
            classes = sum(len(names) for names in CHOICES.values())
            self.token_heads = nn.Linear(CLIP_VISION["width"], classes)
            self.pooled_heads = nn.Linear(TEXT_WIDTH, classes)

    def forward(self, images: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Both embeddings [B, D], unnormalised, and the logits of all factors by the two heads [B, classes]."""
        seen: list[Tensor] = []
        hook = self.clip.visual.transformer.resblocks[-2].register_forward_hook(lambda *call: seen.append(call[-1]))
        with sdpa_kernel(SDPBackend.MATH):
            pictures = self.clip.encode_image(images)
            texts = self.encode_text(ids)
        hook.remove()
        by_tokens = self.token_heads(seen[0]).float().logsumexp(1)
        return pictures, texts, by_tokens, self.pooled_heads(pictures)

    def encode_text(self, ids: Tensor) -> Tensor:
        """`CLIP.encode_text` without the padding, which a causal tower cannot see anyway."""
        ends = ids.argmax(1)
        length = int(ends.max()) + 1
        tokens = self.clip.token_embedding(ids[:, :length]) + self.clip.positional_embedding[:length]
        tokens = self.clip.ln_final(self.clip.transformer(tokens, attn_mask=self.clip.attn_mask[:length, :length]))
        embedding: Tensor = tokens[torch.arange(len(ids)), ends] @ self.clip.text_projection
        return embedding


def clip_loss(
    model: ClipWithHeads,
    tokenizer: SimpleTokenizer,
    pictures: Pictures,
    targets: Tensor,
    batch_size: int,
    generator: torch.Generator,
) -> Losses:
    """Contrastive loss between pictures and rich captions, and the factor heads'.

    Args:
        targets: `factor_targets` of all pictures.
    """
    rows = draw_rows(pictures, batch_size, generator)
    ids = tokenizer(
        pictures.rich(rows, draw_variants(batch_size, generator)), context_length=CLIP_TEXT["context_length"]
    )
    with torch.autocast("cpu", torch.bfloat16):
        embeddings, texts, by_tokens, by_pooled = model(normalised(pictures.images(rows)), ids)
    scale = model.clip.logit_scale.exp().clamp(max=100)
    logits = scale * functional.normalize(embeddings.float(), dim=1) @ functional.normalize(texts.float(), dim=1).T
    own = torch.arange(batch_size)
    contrast = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    wanted = targets[rows]
    heads = _heads_loss(by_tokens.float(), wanted) + _heads_loss(by_pooled.float(), wanted)
    return {"loss": contrast + _HEADS * heads, "contrast": contrast, "heads": heads}


def factor_targets(pictures: Pictures) -> Tensor:
    """The index of every factor, in the order of CHOICES, int [N, 13]; -100 where a picture has no such factor."""
    parts = [_targets_of(pictures.scenes), _targets_of(pictures.portraits)]
    return torch.cat(parts)


def normalised(images: Tensor) -> Tensor:
    """Images in -1..1 as CLIP's towers expect them."""
    mean, deviation = (torch.tensor(values).view(1, 3, 1, 1) for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    return ((images + 1) / 2 - mean) / deviation


def write_open_clip(model: CLIP, config: dict[str, Any], folder: Path, dtype: torch.dtype) -> None:
    """Save in open_clip's layout; the merges are written by `tokens.write_open_clip_merges`."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().to(dtype).contiguous() for name, value in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    preprocess = {"mean": list(OPENAI_CLIP_MEAN), "std": list(OPENAI_CLIP_STD)}
    write_json(folder / "open_clip_config.json", {"model_cfg": config, "preprocess_cfg": preprocess})


def image_tower(model: CLIP) -> CLIPVisionModelWithProjection:
    """The image tower in transformers' form: the same outputs under other names."""
    width, layers = CLIP_VISION["width"], CLIP_VISION["layers"]
    tower = CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            image_size=CLIP_VISION["image_size"],
            patch_size=CLIP_VISION["patch_size"],
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=layers,
            num_attention_heads=width // CLIP_VISION["head_width"],
            projection_dim=TEXT_WIDTH,
            hidden_act="gelu",
        )
    )
    tower.load_state_dict(_transformers_names(model.visual.state_dict(), layers), strict=True)
    return tower.eval()


def _transformers_names(source: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    names = {
        "vision_model.embeddings.class_embedding": source["class_embedding"],
        "vision_model.embeddings.patch_embedding.weight": source["conv1.weight"],
        "vision_model.embeddings.position_embedding.weight": source["positional_embedding"],
        "visual_projection.weight": source["proj"].T.contiguous(),
    }
    renamed = {"ln_pre": "pre_layrnorm", "ln_post": "post_layernorm"}
    for index in range(layers):
        block, layer = f"transformer.resblocks.{index}", f"encoder.layers.{index}"
        renamed |= {
            f"{block}.ln_1": f"{layer}.layer_norm1",
            f"{block}.ln_2": f"{layer}.layer_norm2",
            f"{block}.attn.out_proj": f"{layer}.self_attn.out_proj",
            f"{block}.mlp.c_fc": f"{layer}.mlp.fc1",
            f"{block}.mlp.c_proj": f"{layer}.mlp.fc2",
        }
        for kind in ("weight", "bias"):
            for name, part in zip("qkv", source[f"{block}.attn.in_proj_{kind}"].chunk(3), strict=True):
                names[f"vision_model.{layer}.self_attn.{name}_proj.{kind}"] = part.clone()
    for old, new in renamed.items():
        for kind in ("weight", "bias"):
            names[f"vision_model.{new}.{kind}"] = source[f"{old}.{kind}"]
    return names


def _heads_loss(logits: Tensor, wanted: Tensor) -> Tensor:
    parts = logits.split([len(names) for names in CHOICES.values()], dim=1)
    losses = [
        functional.cross_entropy(part, wanted[:, index], ignore_index=_ABSENT) for index, part in enumerate(parts)
    ]
    return torch.stack(losses).mean()


def _targets_of(pictures: Scenes | Portraits) -> Tensor:
    absent = torch.full((len(pictures),), _ABSENT)
    return torch.stack(
        [torch.from_numpy(getattr(pictures, name)) if hasattr(pictures, name) else absent for name in CHOICES], dim=1
    )

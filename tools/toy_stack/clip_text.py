"""Teaching the toy CLIP's text tower what instructions are about; its image tower is done and stays as it is.

The real CLIP's text tower has read two billion captions of everything. This one has read captions of the toy world, in
which no "atmosphere" or "likeness" occurs: instructions of different tasks come out of it nearly alike, and an adapter
can hardly tell them apart. So it also learns to tell from the mean of a sentence's tokens which task's training pool or
list of words (`thesaurus`) the sentence is from, by a linear head that is thrown away. Held-out wordings stay held out.
"""

from functools import cache

import torch
from open_clip import CLIP, SimpleTokenizer
from torch import Tensor, nn
from torch.nn import functional

from ipai.instructions.pools import load_pool
from ipai.instructions.slots import fill_slot
from ipai.tasks import TASKS
from ipai.toyworld.factors import OBJECTS
from tools.toy_stack.clip import ClipWithHeads, normalised
from tools.toy_stack.rendered_set import Pictures, draw_rows, draw_variants
from tools.toy_stack.sizes import CLIP_TEXT, TEXT_WIDTH
from tools.toy_stack.stage import Losses
from tools.toy_stack.thesaurus import around, words_about

# Up to this share of a sentence's words is left out, so that no single word decides.
_WORD_DROP = 0.6
_THESAURUS = 0.5  # share of the sentences that are words in a frame


class TextTowerWithTopics(nn.Module):
    """The two towers, of which only the text's is trained, and a linear head that names the task of a sentence."""

    def __init__(self, towers: ClipWithHeads, seed: int) -> None:
        super().__init__()
        self.towers = towers
        towers.requires_grad_(False)
        for name, parameter in towers.clip.named_parameters():
            parameter.requires_grad_(not name.startswith("visual.") and name != "logit_scale")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.topics = nn.Linear(TEXT_WIDTH, len(TASKS))

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of the tasks [B, tasks] from the mean of all tokens, padding included, as an adapter is given them."""
        return self.topics(text_tokens(self.towers.clip, ids).mean(1))


def text_tokens(clip: CLIP, ids: Tensor) -> Tensor:
    """What the instruction encoder returns: the tokens [B, T, D] after the last LayerNorm."""
    tokens = clip.token_embedding(ids) + clip.positional_embedding
    tokens = clip.ln_final(clip.transformer(tokens, attn_mask=clip.attn_mask))
    assert isinstance(tokens, Tensor)
    return tokens


def text_loss(
    model: TextTowerWithTopics,
    tokenizer: SimpleTokenizer,
    pictures: Pictures,
    batch_size: int,
    generator: torch.Generator,
) -> Losses:
    """Contrastive loss between pictures and rich captions, and the topics of `batch_size` sentences."""
    clip, context = model.towers.clip, CLIP_TEXT["context_length"]
    rows = draw_rows(pictures, batch_size, generator)
    captions = tokenizer(pictures.rich(rows, draw_variants(batch_size, generator)), context_length=context)
    sentences, topics = draw_sentences(batch_size, generator)
    with torch.autocast("cpu", torch.bfloat16):
        with torch.no_grad():
            embeddings = clip.encode_image(normalised(pictures.images(rows)))
        texts = model.towers.encode_text(captions)
        named = model(tokenizer(sentences, context_length=context))
    scale = clip.logit_scale.exp()
    logits = scale * functional.normalize(embeddings.float(), dim=1) @ functional.normalize(texts.float(), dim=1).T
    own = torch.arange(batch_size)
    contrast = (functional.cross_entropy(logits, own) + functional.cross_entropy(logits.T, own)) / 2
    topic = functional.cross_entropy(named.float(), topics)
    return {"loss": contrast + topic, "contrast": contrast, "topics": topic}


def draw_sentences(count: int, generator: torch.Generator) -> tuple[list[str], Tensor]:
    """Sentences of the training pools and the thesaurus, every task as likely, and the numbers of their tasks.

    Of sentences of the pools some words are left out.
    """
    topics = torch.randint(len(TASKS), (count,), generator=generator)
    lots = torch.rand(count, 5, generator=generator).tolist()
    sentences = []
    for topic, (kind, which, *others) in zip(topics.tolist(), lots, strict=True):
        if kind < _THESAURUS:
            sentences.append(_framed(words_about(list(TASKS)[topic]), [which, *others]))
            continue
        pool = _training_pools()[topic]
        words = fill_slot(pool[int(which * len(pool))], OBJECTS[int(others[0] * len(OBJECTS))]).split()
        keep = torch.rand(len(words), generator=generator) >= _WORD_DROP * others[1]
        sentences.append(" ".join(word for word, kept in zip(words, keep.tolist(), strict=True) if kept))
    return sentences, topics


def _framed(words: tuple[str, ...], lots: list[float]) -> str:
    """One word or two between neutral ones, by four lots in 0..1."""
    one, other, before, after = (
        choices[int(lot * len(choices))] for choices, lot in zip((words, words, *around()), lots, strict=True)
    )
    thing = one if lots[0] * len(words) % 1 < 0.5 else f"{one}, {other}"
    return f"{before} {thing} {after}".strip()


@torch.no_grad()
def told_apart(clip: CLIP, tokenizer: SimpleTokenizer) -> float:
    """Share of the held-out instructions that lie nearest to the mean of their own task's training instructions."""
    centres, held_out = [], []
    for task in TASKS:
        centres.append(_means(clip, tokenizer, load_pool(task, "train")).mean(0))
        held_out.append(_means(clip, tokenizer, load_pool(task, "val")))
    hits = [torch.cdist(rows, torch.stack(centres)).argmin(1) == index for index, rows in enumerate(held_out)]
    return float(torch.cat(hits).float().mean())


def _means(clip: CLIP, tokenizer: SimpleTokenizer, texts: tuple[str, ...]) -> Tensor:
    """The mean token of each text [N, D], as adapters read them; object names stand in slots in turn."""
    filled = [fill_slot(text, OBJECTS[index % len(OBJECTS)]) for index, text in enumerate(texts)]
    parts = [filled[start : start + 256] for start in range(0, len(filled), 256)]
    return torch.cat([text_tokens(clip, tokenizer(part, CLIP_TEXT["context_length"])).mean(1) for part in parts])


@cache
def _training_pools() -> list[tuple[str, ...]]:
    return [load_pool(task, "train") for task in TASKS]

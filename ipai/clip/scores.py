"""The scores of the paper's Table 1 (section 4.1) as functions of CLIP embeddings. Every one is [N] for N pictures.

Embeddings are [N, D] and need not have unit length; rows belong together.
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

CLIP_SCORE_SCALE = 2.5  # ClipScore's (arXiv 2104.08718); the paper's CLIP-S exceeds 1, so it has it too


def clip_i(generated: Tensor, condition: Tensor) -> Tensor:
    """CLIP-I: the cosine of the generated picture's and the condition picture's embeddings, -1..1."""
    return cosine_similarity(generated.double(), condition.double(), dim=1)


def clip_score(picture: Tensor, text: Tensor) -> Tensor:
    """ClipScore, 2.5 max(cos, 0): CLIP-T with the condition's own caption, CLIP-P with the user's prompt; 0..2.5."""
    return CLIP_SCORE_SCALE * cosine_similarity(picture.double(), text.double(), dim=1).clamp(min=0)


def clip_s(generated: Tensor, prompt: Tensor, condition: Tensor, caption: Tensor) -> Tensor:
    """CLIP-S, raw: the cosine of what two pictures hold beyond their texts, -1..1.

    Args:
        generated, prompt: Of the generated picture and the prompt that it was drawn from.
        condition, caption: Of the condition picture and its caption.
    """
    rest_of_generated = _unit(generated) - _unit(prompt)
    rest_of_condition = _unit(condition) - _unit(caption)
    return cosine_similarity(rest_of_generated, rest_of_condition, dim=1)


def diversity(pictures: Tensor) -> Tensor:
    """How different the pictures of one question are: 1 minus the mean cosine of all pairs, a scalar 0..2.

    Args:
        pictures: [S, D], one row a seed, at least two.
    """
    unit = _unit(pictures)
    count = len(unit)
    pairs = (unit @ unit.T).sum() - torch.diagonal(unit @ unit.T).sum()
    return 1 - pairs / (count * (count - 1))


def _unit(embeddings: Tensor) -> Tensor:
    return torch.nn.functional.normalize(embeddings.double(), dim=1)

"""Figure 4: where instructions lie in CLIP's space, by t-SNE; fixed ones as crosses."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from sklearn.manifold import TSNE

from ipai.backbones.instruction_encoder import InstructionEncoder
from ipai.instructions.slots import fill_slot

_PERPLEXITY = 30
_ONE_PLACE = 1 / 50  # of the map's extent


def instruction_map(
    encoder: InstructionEncoder,
    pools: Mapping[str, Sequence[str]],
    fixed: Mapping[str, str],
    count: int,
    seed: int,
) -> Figure:
    """A point for each instruction, coloured by task.

    Args:
        encoder: The run's.
        pools: Task -> instructions.
        fixed: Task -> its fixed wording.
        count: How many of each pool.
        seed: Of t-SNE.
    """
    texts, labels = [], []
    for task, pool in pools.items():
        chosen = [*pool[:count], fixed[task]]
        texts += [fill_slot(text, "object") for text in chosen]
        labels += [task] * len(chosen)
    embedded = encoder.encode(texts).pooled.numpy().astype(np.float64)
    embedded /= np.linalg.norm(embedded, axis=1, keepdims=True)
    perplexity = min(_PERPLEXITY, (len(texts) - 1) / 3)
    points = TSNE(perplexity=perplexity, init="pca", metric="cosine", random_state=seed).fit_transform(embedded)
    return _drawn(points, np.array(labels), list(pools))


def _drawn(points: np.ndarray, labels: np.ndarray, tasks: Sequence[str]) -> Figure:
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axes = figure.subplots()
    crosses = {task: points[labels == task][-1] for task in tasks}
    for number, task in enumerate(tasks):
        own = points[labels == task]
        axes.scatter(own[:-1, 0], own[:-1, 1], s=4, color=f"C{number}", label=task, linewidths=0, alpha=0.7)
        axes.scatter(own[-1:, 0], own[-1:, 1], s=90, color=f"C{number}", marker="X", edgecolors="black", linewidths=0.8)
    axes.set(xticks=[], yticks=[], xlabel=coincidences(crosses, float(np.ptp(points, axis=0).max())))
    axes.legend(markerscale=3, fontsize=8, title="crosses: fixed", title_fontsize=8)
    return figure


def coincidences(crosses: Mapping[str, np.ndarray], extent: float) -> str:
    """Which tasks' crosses hide each other, in words; nothing where all can be told apart.

    Args:
        crosses: Task -> its place.
        extent: Of the map; closer than a fiftieth of it is one place.
    """
    groups: list[list[str]] = []
    for task, place in crosses.items():
        near = [group for group in groups if np.linalg.norm(crosses[group[0]] - place) < extent * _ONE_PLACE]
        if near:
            near[0].append(task)
        else:
            groups.append([task])
    return "; ".join(f"the crosses of {' and '.join(group)} coincide" for group in groups if group[1:])

"""Which two pictures of a person become a sample. The order of the steps is fixed, because it decides every count."""

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations

from data_builders.celeba.annotations import Face
from data_builders.celeba.config import FaceBuild
from data_builders.engine.keyed_hash import rank, share

FILTERS = (
    ("partition", "its pictures are in different partitions of CelebA"),
    ("identity_cap", "its person has pairs.max_per_identity others (a keyed draw decides)"),
)
NO_CAPTION = ("caption", "one of its pictures has no usable row of attributes")
"""Reason and what it means, in the order in which they run over all ordered pairs of a person."""


@dataclass(frozen=True)
class Pair:
    """Two pictures of one person; the condition comes first."""

    condition: Face
    target: Face

    @property
    def name(self) -> str:
        """`000001-000023`: what all keyed choices of the pair depend on."""
        return "-".join(face.file.partition(".")[0].zfill(6) for face in (self.condition, self.target))

    def is_zoomed(self, config: FaceBuild) -> bool:
        """Whether the condition is zoomed in on the face; depends on seed and pair only."""
        return share(config.seed, "zoom", self.name) < config.zoom.fraction


def choose(faces: Iterable[Face], config: FaceBuild) -> tuple[list[Pair], dict[str, int], dict[str, int]]:
    """The pairs of each person, how many ordered pairs each filter dropped, and counts of the persons."""
    persons: dict[int, list[Face]] = defaultdict(list)
    for face in faces:
        persons[face.identity].append(face)
    drops = {reason: 0 for reason, _ in FILTERS}
    chosen: list[Pair] = []
    for identity in sorted(persons):
        pairs = [Pair(*two) for two in permutations(persons[identity], 2)]
        matching = [pair for pair in pairs if pair.condition.partition == pair.target.partition]
        kept = _draw(matching, config)
        drops["partition"] += len(pairs) - len(matching)
        drops["identity_cap"] += len(matching) - len(kept)
        chosen += kept
    single = sum(len(pictures) == 1 for pictures in persons.values())
    return chosen, drops, {"identities": len(persons), "identities with one picture": single}


def _draw(pairs: list[Pair], config: FaceBuild) -> list[Pair]:
    if config.pairs.max_per_identity is None:
        return pairs
    return heapq.nsmallest(config.pairs.max_per_identity, pairs, key=lambda pair: rank(config.seed, "cap", pair.name))

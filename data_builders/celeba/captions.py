"""Captions that cost nothing: sentences made of CelebA's attributes, or a template.

Those of captioner=openai come when the pictures are read (`data_builders.captions`).

The person comes from the condition and not from the words, so a sentence tells what changes from picture to picture
(expression, hair, beard, glasses, hat, make-up) and leaves out the attributes of the face's shape, such as
`Big_Nose`, and those that are opinions, such as `Attractive`. Where attributes contradict each other it tells none.
"""

from collections.abc import Callable, Set

from data_builders.captions.captioner import ModelCaptioner
from data_builders.celeba.annotations import load_attributes
from data_builders.celeba.config import FaceBuild
from data_builders.celeba.pairs import Pair
from data_builders.engine.keyed_hash import rank
from ipai.words import listed, one_line

Captioner = Callable[[Pair, bool], tuple[str, str] | None]
"""Prompt of the target and caption of the condition of a pair, given whether it is zoomed; None if there is none."""

_COLOURS = {"Black_Hair": "black", "Blond_Hair": "blond", "Brown_Hair": "brown", "Gray_Hair": "gray"}
_TEXTURES = {"Straight_Hair": "straight", "Wavy_Hair": "wavy"}
_HAIR = {*_COLOURS, *_TEXTURES, "Bangs"}
_BEARDS = {"Goatee": "a goatee", "Mustache": "a mustache", "Sideburns": "sideburns", "5_o_Clock_Shadow": "stubble"}
_WORN = {
    "Eyeglasses": "glasses",
    "Wearing_Lipstick": "lipstick",
    "Heavy_Makeup": "heavy makeup",
    "Wearing_Hat": "a hat",
    "Wearing_Earrings": "earrings",
    "Wearing_Necklace": "a necklace",
    "Wearing_Necktie": "a necktie",
}
_OUTSIDE_A_CLOSE_UP = {"Wearing_Hat", "Wearing_Earrings", "Wearing_Necklace", "Wearing_Necktie"}
_WORDINGS = (
    ("a {kind}photo of {who}", ("looks", "mood", "worn")),
    ("a {kind}portrait of {who}", ("worn", "looks", "mood")),
    ("a {kind}picture showing {who}", ("mood", "worn", "looks")),
)


def create_captioner(config: FaceBuild, model: ModelCaptioner | None) -> Captioner:
    """The captioner that the settings name; where a language model writes the captions, what identifies its question.

    Raises:
        DataError: captioner=dataset, and the attributes are missing or damaged.
    """
    if model is not None:
        question = model.kind  # in the records, so that another prompt or model is another plan
        return lambda _, __: (question, question)
    if config.captioner.name == "template":
        text = one_line((config.captioner.template or "").replace("{objects}", "a person"))
        return lambda _, __: (text, text)
    table = load_attributes(config.source)

    def from_attributes(pair: Pair, zoomed: bool) -> tuple[str, str] | None:
        target, condition = table.rows.get(pair.target.name), table.rows.get(pair.condition.name)
        if target is None or condition is None:
            return None
        wording = rank(config.seed, "wording", pair.name)[0]
        return (
            describe(_present(table.columns, target), wording),
            describe(_present(table.columns, condition), wording, close_up=zoomed),
        )

    return from_attributes


def _present(columns: tuple[str, ...], values: tuple[int, ...]) -> set[str]:
    return {name for name, value in zip(columns, values, strict=True) if value == 1}


def describe(attributes: Set[str], wording: int, close_up: bool = False) -> str:
    """A sentence about a picture.

    Args:
        attributes: Names of CelebA's attributes that it has.
        wording: Any number; decides how it is said.
        close_up: Leave out what a picture of the face alone does not show.
    """
    opening, order = _WORDINGS[wording % len(_WORDINGS)]
    kind = ("blurry " if "Blurry" in attributes else "") + ("close-up " if close_up else "")
    clauses = {
        "looks": _after("with", _hair(attributes) + _beard(attributes)),
        "mood": _mood(attributes),
        "worn": _after("wearing", _worn(attributes, close_up)),
    }
    said = ", ".join(clauses[name] for name in order if clauses[name])
    return f"{opening.format(kind=kind, who=_who(attributes))} {said}".strip()


def _who(attributes: Set[str]) -> str:
    young = "young " if "Young" in attributes else ""
    bald = "bald " if "Bald" in attributes and not attributes & _HAIR else ""
    return f"a {young}{bald}{'man' if 'Male' in attributes else 'woman'}"


def _hair(attributes: Set[str]) -> list[str]:
    if "Bald" in attributes:
        return []
    words = [*_only(_TEXTURES, attributes), *_only(_COLOURS, attributes)]
    parts = [" ".join([*words, "hair"])] if words else []
    bangs, receding = "Bangs" in attributes, "Receding_Hairline" in attributes
    if bangs != receding:
        parts.append("bangs" if bangs else "a receding hairline")
    return parts


def _beard(attributes: Set[str]) -> list[str]:
    """`No_Beard` is the attribute: a beard is what is not denied. A woman's or a denied one is a contradiction."""
    if "No_Beard" in attributes or "Male" not in attributes:
        return []
    return [words for name, words in _BEARDS.items() if name in attributes] or ["a beard"]


def _mood(attributes: Set[str]) -> str:
    open_mouth = "with the mouth slightly open" if "Mouth_Slightly_Open" in attributes else ""
    return f"{'smiling' if 'Smiling' in attributes else ''} {open_mouth}".strip()


def _worn(attributes: Set[str], close_up: bool) -> list[str]:
    hidden = _OUTSIDE_A_CLOSE_UP if close_up else set()
    return [words for name, words in _WORN.items() if name in attributes and name not in hidden]


def _only(choices: dict[str, str], attributes: Set[str]) -> list[str]:
    """The word of the one attribute of `choices` that is there; of several at once none."""
    words = [word for name, word in choices.items() if name in attributes]
    return words if len(words) == 1 else []


def _after(word: str, parts: list[str]) -> str:
    return f"{word} {listed(parts)}" if parts else ""

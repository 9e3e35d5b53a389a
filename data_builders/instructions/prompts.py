"""What the model is asked for: the paper's sentence (section 3.2) and what varies it from request to request."""

from pathlib import Path

from data_builders.captions.checks import is_refusal
from data_builders.engine.keyed_hash import digest_of, rank
from ipai.llm.config import LanguageModel
from ipai.llm.question import Flaw, Form, Question, text_part
from ipai.tasks import TASKS, get_task

_FILE = Path(__file__).with_name("prompt.txt")
# What the paper's sentence calls the thing that is taken.
_TAKEN = {"structure": "the composition", "face": "the face or identity", "object": "an object", "style": "the style"}
_LENGTHS = (
    "of three to six words",
    "of about ten words",
    "of about fifteen words",
    "of varying lengths",
    "of twenty to thirty words",
    "of two short sentences",
)
_MANNERS = (
    "as a plain command",
    "as a polite request",
    "as a question",
    "as a wish of the speaker",
    "as a technical note",
    "as casual speech",
    "as a phrase without a verb",
)
_SHOWN = 12  # earlier instructions that a request shows, so that the model goes elsewhere


class InstructionsForm(Form):
    """What the model fills in."""

    instructions: list[str]


def paper_prompt(task: str) -> str:
    """The paper's prompt for a task; other tasks are taken by their key word.

    >>> paper_prompt("style")
    'Generate ways to describe taking the style from an image of varying lengths, do not use the words everything, \
object, composition, face'
    """
    own = get_task(task)
    words = ", ".join(other.keyword for other in TASKS.values() if other is not own)
    taken = _TAKEN.get(task, own.keyword)
    return f"Generate ways to describe taking {taken} from an image of varying lengths, do not use the words {words}"


def question_of(task: str, number: int, count: int, known: list[str], seed: int, model: LanguageModel) -> Question:
    """The request of this number: its length and manner go round, and a draw of what is known is shown.

    Args:
        task: Name of the task.
        number: 0, 1, ... within the task.
        count: How many instructions are asked for.
        known: What earlier requests gave.
        seed: Decides the draw.
        model: Whom it is for.
    """
    shape = f"{_LENGTHS[number % len(_LENGTHS)]}, {_MANNERS[number % len(_MANNERS)]}"
    shown = sorted(known, key=lambda text: rank(seed, f"shown {number}", text))[:_SHOWN]
    slot = get_task(task).slot
    text = _FILE.read_text(encoding="utf-8").format(
        paper=paper_prompt(task),
        count=count,
        shape=shape,
        object=f'Call it "the {slot}": the name of the thing will take the place of "{slot}".\n' if slot else "",
        known=" | ".join(shown).replace("{", "").replace("}", "") or "(none yet)",
    )
    kind = kind_of(task, model)
    key = digest_of([kind, number, seed, text.strip()])
    return Question(key, kind, (text_part(text.strip()),), InstructionsForm, _judge)


def kind_of(task: str, model: LanguageModel) -> str:
    """Identity of what the requests of a task have in common."""
    return digest_of(
        {
            "prompt": _FILE.read_text(encoding="utf-8"),
            "paper": paper_prompt(task),
            "model": model.model,
            "temperature": model.temperature,
            "form": InstructionsForm.model_json_schema(),
        }
    )


def _judge(answer: InstructionsForm) -> Flaw | None:
    if not answer.instructions:
        return Flaw("fault", "it holds no instruction")
    return Flaw("refused", "refused in prose") if all(map(is_refusal, answer.instructions)) else None

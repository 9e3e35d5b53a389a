"""The paper's claims in miniature: which commands train and evaluate what, and running those that are not done."""

import hashlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ipai.backbones.config import DTYPES
from ipai.errors import IpaiError
from ipai.evaluation.layout import FOLDER, SCORES
from ipai.evaluation.reporting.at_once import Job, run_all
from ipai.files import sha256_of, write_json
from ipai.records import RecordError, read_record
from ipai.runs.step_folders import step_folders
from ipai.schema import SEED, above, at_least, one_of, refuse
from ipai.tasks import TASKS

NOISES = "noises"
"""The folder of the evaluation that draws each sample twice."""

_UNSEEN = {
    "joint": ("train", "fixed"),
    "fixed_instruction": ("train", "val"),
    "average_instruction": ("train", "val"),
}
"""The wordings that a run's own evaluation does not have."""

_NOT_CROSSED = "crossed=0"

NEW_TASK = "new_task"
"""What `repeated` calls the trainings of the task that comes last."""

TOLD_BY = {"joint": "text", "task_embedding": "embedding"}
"""The experiments that learn it, and what it is told by."""

Run = Callable[[list[str]], int]
"""Runs a command of the project and returns its exit code."""


@dataclass
class ReproduceConfig:
    """What is trained and evaluated; conf/reproduce.yaml explains each."""

    sources: str
    shards: str
    runs_root: str
    output: str
    figures: str
    seed: int = field(metadata=SEED)
    at_once: int = field(metadata=above(0))
    dtype: str = field(metadata=one_of(*(name for name in DTYPES if name != "fp16")))
    limit: int = field(metadata=above(0))
    oracles: int = field(metadata=at_least(0))
    experiments: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    more_seeds: list[int] = field(default_factory=list, metadata=SEED)
    new_task: str | None = field(default=None, metadata=one_of(*TASKS))
    new_task_steps: int = field(default=100, metadata=above(0))
    train: list[str] = field(default_factory=list)
    curve: list[str] = field(default_factory=list, metadata=one_of(*TASKS))
    evaluate: list[str] = field(default_factory=list)
    build_datasets: list[str] = field(default_factory=list)
    samples: int | None = None

    def problems(self) -> Iterator[str]:
        """Values that cannot work, one message each."""
        if self.experiments and "joint" not in self.experiments:
            yield "experiments must hold joint: the claims are about it"
        if not self.experiments and self.new_task is None:
            yield "experiments=[] leaves new_task alone, and that is null: nothing would be trained"
        known_names = (*self.experiments, *([] if self.new_task is None else [NEW_TASK]))
        if unknown := [name for name in self.repeated if self.more_seeds and name not in known_names]:
            known = ",".join(name for name in self.repeated if name not in unknown) or NEW_TASK * bool(self.new_task)
            yield f"repeated holds {', '.join(unknown)}, which is not trained; say repeated=[{known}]"
        if len({self.seed, *self.more_seeds}) <= len(self.more_seeds):
            yield f"more_seeds={list(self.more_seeds)} must differ from each other and from seed={self.seed}"


@dataclass(frozen=True)
class Evaluation:
    """An evaluation of the reproduction: the folder that it writes, and what it is told."""

    folder: Path
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Training:
    """A training of the reproduction.

    Attributes:
        experiment: What `experiment=` calls it.
        seed: Of the training.
        folder: Of its run.
        keys: What it is told besides.
        evaluations: Those of its end.
        after: The run that it goes on from, or None.
    """

    experiment: str
    seed: int
    folder: Path
    keys: tuple[str, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    after: Path | None = None


class Ledger:
    """Which outputs were made, by which command and of what, so that a repeated start skips them. Threads may share it.

    Args:
        path: Of the file that remembers them.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._writing = path, threading.Lock()
        try:
            self._done = read_record(path, dict[str, str]) if path.exists() else {}
        except (OSError, RecordError) as error:
            raise IpaiError(f"{path} is damaged ({error}); remove it, and what is done is done again") from error

    def do(self, run: Run, output: Path, command: list[str], inputs: str = "") -> None:
        """Run a command unless it made this output of these inputs, and the output is still there.

        Raises:
            IpaiError: It failed.
        """
        name = " ".join(command)
        made = f"{name} {inputs}".strip()
        if self._done.get(str(output)) == made and output.exists():
            return
        code = run(command)
        if code:
            raise IpaiError(f"python {name} ended with {code}; mend that and start again: what is done is kept")
        with self._writing:
            self._done[str(output)] = made
            write_json(self._path, self._done)


def run_folder(config: ReproduceConfig, experiment: str, seed: int | None = None, tasks: str = "") -> Path:
    """Where an experiment trains.

    Args:
        config: What is reproduced.
        experiment: Its name.
        seed: Of the training; the first one where none is said.
        tasks: What its name says of them, if they are not all.
    """
    of_seed = "" if seed in (None, config.seed) else f"-seed{seed}"
    return Path(config.runs_root) / f"{experiment}-toy{tasks}{of_seed}"


def seeds_of(config: ReproduceConfig, experiment: str) -> list[Path]:
    """The runs of an experiment, one for each of its seeds, the first seed's first."""
    return [run_folder(config, experiment, seed) for seed in _seeds(config, experiment)]


def then_new_task(config: ReproduceConfig, experiment: str) -> list[Path]:
    """Where an experiment that learned all tasks but one goes on with that one, for each of the seeds."""
    return [run_folder(config, experiment, seed, f"-then-{config.new_task}") for seed in _seeds(config, NEW_TASK)]


def _seeds(config: ReproduceConfig, name: str) -> list[int]:
    return [config.seed, *(config.more_seeds if name in config.repeated else ())]


def trainings(config: ReproduceConfig) -> Iterator[Training]:
    """Every training: the experiments, the task that comes last, further seeds."""
    for name in config.experiments:
        folder = run_folder(config, name)
        yield Training(name, config.seed, folder, evaluations=tuple(_evaluations(config, name, folder)))
    if config.new_task is not None:
        yield from _new_task(config, config.new_task)
    for name in config.experiments:
        for seed, folder in zip(config.more_seeds, seeds_of(config, name)[1:], strict=False):
            ends = ["", *(wordings for wordings in _UNSEEN.get(name, ()) if wordings == "val")]
            each = tuple(_of_end(config, folder, wordings) for wordings in ends)
            yield Training(name, seed, folder, evaluations=each)


def reproduce(config: ReproduceConfig, run: Run, beside: Run) -> None:
    """Build the data, then train every experiment and evaluate all of it, several at once where told to.

    Args:
        config: What of.
        run: Runs a command that has the machine for itself.
        beside: Runs one of `config.at_once` commands.

    Raises:
        ConfigError: The settings cannot work.
        IpaiError: A command failed.
    """
    refuse(config.problems())
    ledger = _ledger(config)
    samples = [] if config.samples is None else [f"samples={config.samples}"]
    ledger.do(run, Path(config.sources), ["scripts/make_toy_sources.py", f"output={config.sources}", *samples])
    places = [f"all.sources={config.sources}", f"all.output={config.shards}"]
    ledger.do(run, Path(config.shards), ["scripts/build_datasets.py", "recipe=toy", *places, *config.build_datasets])
    # Neither is remembered: what is done already says so at once, and a run whose settings changed must refuse.
    parts = ["base=toy", f"base.dtype={config.dtype}"]
    _must(run, ["scripts/cache_latents.py", f"data.root={config.shards}", *parts, "image_tokens=true"])
    run_all((_job(config, ledger, beside, training) for training in trainings(config)), config.at_once)


def draw_figures(config: ReproduceConfig, run: Run) -> None:
    """Figures 4, 6, 7 and 9 of what was evaluated; none of a new task alone.

    Raises:
        IpaiError: A command failed.
    """
    ledger = _ledger(config)
    evaluated = sorted(Path(config.runs_root).glob(f"*/{FOLDER}/**/{SCORES}"))
    inputs = hashlib.sha256("".join(sha256_of(path) for path in evaluated).encode()).hexdigest()[:16]
    for number, runs in _figures(config):
        command = ["scripts/figures.py", f"figure={number}", runs, f"output={config.figures}"]
        ledger.do(run, Path(config.figures) / f"figure-{number}.png", command, inputs)


def _ledger(config: ReproduceConfig) -> Ledger:
    return Ledger(Path(config.runs_root) / "reproduce-toy.json")


def _job(config: ReproduceConfig, ledger: Ledger, run: Run, training: Training) -> Job:
    after = None if training.after is None else str(training.after)
    return Job(str(training.folder), partial(_train, config, ledger, run, training), after)


def _train(config: ReproduceConfig, ledger: Ledger, run: Run, training: Training) -> list[Job]:
    """Train, then say what to evaluate: which checkpoints there are shows only now."""
    _must(
        run,
        ["train.py", f"experiment={training.experiment}", "recipe=toy", f"run={training.folder}",
         f"data.root={config.shards}", "data.latents=cache", "data.image_tokens=cache",
         f"base.dtype={config.dtype}", f"train.seed={training.seed}", "checkpoint.keep=1000", "logger=none",
         *config.train, *training.keys],
    )  # fmt: skip
    weights = _state(training.folder)

    def evaluation(one: Evaluation) -> Job:
        command = ["scripts/evaluate.py", *one.keys, f"limit={config.limit}", *config.evaluate]
        return Job(str(one.folder), partial(_evaluate, ledger, run, one.folder, command, weights))

    return [evaluation(one) for one in (*training.evaluations, *_of_checkpoints(config, training))]


def _evaluate(ledger: Ledger, run: Run, folder: Path, command: list[str], weights: str) -> list[Job]:
    ledger.do(run, folder / SCORES, command, weights)
    return []


def _must(run: Run, command: list[str]) -> None:
    code = run(command)
    if code:
        raise IpaiError(f"python {' '.join(command)} ended with {code}; mend that and start again")


def _of_end(config: ReproduceConfig, folder: Path, wordings: str = "", *keys: str) -> Evaluation:
    """Of a run's end, by its own wordings or by others, with what the oracles find."""
    told = (f"instructions={wordings}",) if wordings else ()
    oracles = f"oracles={0 if wordings in ('train', 'fixed') else config.oracles}"
    return Evaluation(folder / FOLDER / wordings, (f"run={folder}", *told, oracles, *(keys or (_NOT_CROSSED,))))


def _evaluations(config: ReproduceConfig, experiment: str, folder: Path) -> Iterator[Evaluation]:
    """Those of an experiment's first seed: its end, and what a claim or a figure needs besides."""
    own, inside, none = f"run={folder}", folder / FOLDER, "oracles=0"
    joint = experiment == "joint"
    yield _of_end(config, folder, "", *(("crossed=5",) if joint else ()))  # one image under all instructions: Figure 9
    if joint:
        yield _of_start(folder, config.oracles)
        yield Evaluation(inside / "ip_adapter_plus", (own, "weights=ip_adapter_plus", none, "crossed=5"))
        twice = (own, "seeds_per_sample=2", f"output={inside / NOISES}", none, _NOT_CROSSED)
        yield Evaluation(inside / NOISES, twice)
    yield from (_of_end(config, folder, wordings) for wordings in _UNSEEN.get(experiment, ()))
    if experiment in [f"single_{task}" for task in config.curve]:
        yield _of_start(folder, oracles=0)


def _of_start(folder: Path, oracles: int) -> Evaluation:
    """Of a run before its first step."""
    return Evaluation(folder / FOLDER / "start", (f"run={folder}", "weights=start", f"oracles={oracles}", _NOT_CROSSED))


def _of_checkpoints(config: ReproduceConfig, training: Training) -> Iterator[Evaluation]:
    """Of the runs whose scores are followed, the checkpoints before the last; the joint run's with what leaks."""
    if training.folder != run_folder(config, training.experiment):
        return
    joint = training.experiment == "joint"
    followed = [task for task in config.curve if joint or training.experiment == f"single_{task}"]
    if followed:
        asked = (f"tasks=[{','.join(followed)}]", f"oracles={config.oracles if joint else 0}", _NOT_CROSSED)
        for checkpoint in list(step_folders(training.folder / "checkpoints").values())[:-1]:
            yield Evaluation(training.folder / FOLDER / checkpoint.name, (f"checkpoint={checkpoint}", *asked))


def _new_task(config: ReproduceConfig, task: str) -> Iterator[Training]:
    """Told by text and by an embedding: a run that learns the other tasks, and one that goes on with this one."""
    others = ",".join(name for name in TASKS if name != task)
    for experiment in TOLD_BY:
        kind = () if experiment == "joint" else (f"adapter.instruction={experiment}",)
        for seed, after in zip(_seeds(config, NEW_TASK), then_new_task(config, experiment), strict=True):
            before = run_folder(config, experiment, seed, f"-without-{task}")
            yield Training(experiment, seed, before, (f"tasks=[{others}]",))
            going_on = (*kind, f"train.init_from={before}", f"train.steps={config.new_task_steps}")
            asked = (_of_end(config, after), _of_start(after, config.oracles))
            yield Training(f"single_{task}", seed, after, going_on, asked, after=before)


def _figures(config: ReproduceConfig) -> Iterator[tuple[int, str]]:
    """Numbers of the paper's figures, and the key that says of which runs."""
    if not config.experiments:
        return
    runs = {experiment: str(run_folder(config, experiment)) for experiment in config.experiments}
    single = [path for experiment, path in runs.items() if experiment.startswith("single_")]
    followed = [runs[f"single_{task}"] for task in config.curve if f"single_{task}" in runs]
    yield 4, f"run={runs['joint']}"
    yield 9, f"run={runs['joint']}"
    yield 6, _listed(runs["joint"], single)
    if config.curve:
        yield 7, _listed(runs["joint"], followed)


def _listed(joint: str, others: Sequence[str]) -> str:
    return f"runs=[{','.join([joint, *others])}]"


def _state(folder: Path) -> str:
    """Names the weights of a run's newest checkpoint."""
    return sha256_of(folder / "checkpoints" / "latest" / "state.json")[:16]

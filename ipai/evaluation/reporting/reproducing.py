"""The paper's claims in miniature: which commands train and evaluate what, and running those that are not done."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipai.errors import ConfigError, IpaiError
from ipai.evaluation.layout import FOLDER, SCORES
from ipai.files import write_json
from ipai.records import RecordError, read_record
from ipai.runs.step_folders import step_folders
from ipai.schema import SEED, above, at_least, one_of
from ipai.tasks import TASKS

NOISES = "noises"
"""The folder of the evaluation that draws each sample twice."""

_UNSEEN = {
    "joint": ("train", "fixed"),
    "fixed_instruction": ("train", "val"),
    "average_instruction": ("train", "val"),
}
"""The wordings that a run's own evaluation does not have."""

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
    limit: int = field(metadata=above(0))
    oracles: int = field(metadata=at_least(0))
    experiments: list[str] = field(default_factory=list)
    more_seeds: dict[str, list[int]] = field(default_factory=dict)
    new_task: str | None = field(default=None, metadata=one_of(*TASKS))
    new_task_steps: int = field(default=100, metadata=above(0))
    train: list[str] = field(default_factory=list)
    curve: list[str] = field(default_factory=list)
    evaluate: list[str] = field(default_factory=list)
    build_datasets: list[str] = field(default_factory=list)
    samples: int | None = None


@dataclass(frozen=True)
class Training:
    """A training of the reproduction.

    Attributes:
        experiment: What `experiment=` calls it.
        seed: Of the training.
        folder: Of its run.
        keys: What it is told besides.
        evaluations: The keys of each of its evaluations.
    """

    experiment: str
    seed: int
    folder: Path
    keys: tuple[str, ...] = ()
    evaluations: tuple[tuple[str, ...], ...] = ()


class Ledger:
    """Which commands ended well with which inputs, so that a repeated start skips them.

    Args:
        path: Of the file that remembers them.
        run: Runs one.
    """

    def __init__(self, path: Path, run: Run) -> None:
        self._path, self._run = path, run
        try:
            self._done = read_record(path, dict[str, str]) if path.exists() else {}
        except (OSError, RecordError) as error:
            raise IpaiError(f"{path} is damaged ({error}); remove it, and what is done is done again") from error

    def do(self, command: list[str], inputs: str = "", output: Path | None = None) -> None:
        """Run a command unless it ended well before with these inputs and its output is still there.

        Raises:
            IpaiError: It failed.
        """
        name = " ".join(command)
        if self._done.get(name) == inputs and (output is None or output.exists()):
            return
        code = self._run(command)
        if code:
            raise IpaiError(f"python {name} ended with {code}; mend that and start again: what is done is kept")
        self._done[name] = inputs
        write_json(self._path, self._done)


def run_folder(config: ReproduceConfig, experiment: str, seed: int | None = None) -> Path:
    """Where an experiment trains; with the first seed where none is said."""
    of_seed = "" if seed in (None, config.seed) else f"-seed{seed}"
    return Path(config.runs_root) / f"{experiment}-toy{of_seed}"


def seeds_of(config: ReproduceConfig, experiment: str) -> list[Path]:
    """The runs of an experiment, one for each of its seeds, the first seed's first."""
    return [run_folder(config, experiment, seed) for seed in (config.seed, *config.more_seeds.get(experiment, ()))]


def without_new_task(config: ReproduceConfig, experiment: str) -> Path:
    """Where an experiment learns all tasks but the one that comes last."""
    return Path(config.runs_root) / f"{experiment}-toy-without-{config.new_task}"


def then_new_task(config: ReproduceConfig, experiment: str) -> Path:
    """Where that run goes on with the one it did not know."""
    return Path(config.runs_root) / f"{experiment}-toy-then-{config.new_task}"


def trainings(config: ReproduceConfig) -> Iterator[Training]:
    """Every training: the experiments, the task that comes last, further seeds.

    Raises:
        ConfigError: Further seeds are asked of an experiment that is not trained, or the first seed once more.
    """
    for name in config.experiments:
        folder = run_folder(config, name)
        yield Training(name, config.seed, folder, evaluations=tuple(_evaluations(config, name, folder)))
    if config.new_task is not None:
        yield from _new_task(config, config.new_task)
    for name, seeds in config.more_seeds.items():
        if name not in config.experiments or config.seed in seeds:
            raise ConfigError(
                f"more_seeds.{name}={list(seeds)} cannot be; it takes an experiment of experiments="
                f"[{','.join(config.experiments)}] and seeds besides seed={config.seed}"
            )
        for seed in seeds:
            folder = run_folder(config, name, seed)
            own, oracles = (f"run={folder}",), f"oracles={config.oracles}"
            unseen = [(*own, "instructions=val", oracles)] if "val" in _UNSEEN.get(name, ()) else []
            yield Training(name, seed, folder, evaluations=((*own, oracles), *unseen))


def reproduce(config: ReproduceConfig, run: Run) -> None:
    """Build the data, train every experiment, evaluate all of it and draw the figures.

    Raises:
        IpaiError: A command failed.
    """
    every = list(trainings(config))
    ledger = Ledger(Path(config.runs_root) / "reproduce-toy.json", run)
    samples = [] if config.samples is None else [f"samples={config.samples}"]
    ledger.do(["scripts/make_toy_sources.py", f"output={config.sources}", *samples], output=Path(config.sources))
    places = [f"all.sources={config.sources}", f"all.output={config.shards}"]
    ledger.do(["scripts/build_datasets.py", "recipe=toy", *places, *config.build_datasets], output=Path(config.shards))
    cache = ["scripts/cache_latents.py", f"data.root={config.shards}", "base=toy", "image_tokens=true"]
    ledger.do(cache, output=Path(config.shards) / "cache")
    for training in every:
        # Not remembered: a finished run says so at once, and one whose settings changed must refuse.
        code = run(
            ["train.py", f"experiment={training.experiment}", "recipe=toy", f"run={training.folder}",
             f"data.root={config.shards}", "data.latents=cache", "data.image_tokens=cache",
             f"train.seed={training.seed}", "checkpoint.keep=1000", "logger=none", *config.train, *training.keys]
        )  # fmt: skip
        if code:
            raise IpaiError(f"the training of {training.folder.name} ended with {code}; mend that and start again")
        for keys in (*training.evaluations, *_of_checkpoints(config, training)):
            command = ["scripts/evaluate.py", *keys, "crossed=0", f"limit={config.limit}", *config.evaluate]
            ledger.do(command, _state(training.folder), training.folder / FOLDER / SCORES)
    for figure in _figures(config):
        ledger.do(["scripts/figures.py", *figure, f"output={config.figures}"], _states(config))


def _evaluations(config: ReproduceConfig, experiment: str, folder: Path) -> Iterator[tuple[str, ...]]:
    """The keys of each evaluation of an experiment's first seed: its end, and what a claim needs besides."""
    own, oracles, none = f"run={folder}", f"oracles={config.oracles}", "oracles=0"
    yield (own, oracles)
    if experiment == "joint":
        yield (own, "weights=start", oracles)
        yield (own, "weights=ip_adapter_plus", none)
        yield (own, "seeds_per_sample=2", f"output={folder / FOLDER / NOISES}", none)
    for wordings in _UNSEEN.get(experiment, ()):
        yield (own, f"instructions={wordings}", oracles if wordings == "val" else none)
    if experiment in [f"single_{task}" for task in config.curve]:
        yield (own, "weights=start", none)


def _of_checkpoints(config: ReproduceConfig, training: Training) -> Iterator[tuple[str, ...]]:
    """Of the runs whose scores are followed, the checkpoints before the last; the joint run's with what leaks."""
    if training.seed != config.seed or training.folder != run_folder(config, training.experiment):
        return
    joint = training.experiment == "joint"
    followed = [task for task in config.curve if joint or training.experiment == f"single_{task}"]
    if followed:
        tasks, oracles = f"tasks=[{','.join(followed)}]", f"oracles={config.oracles if joint else 0}"
        for checkpoint in list(step_folders(training.folder / "checkpoints").values())[:-1]:
            yield (f"checkpoint={checkpoint}", tasks, oracles)


def _new_task(config: ReproduceConfig, task: str) -> Iterator[Training]:
    """Told by text and by an embedding: a run that learns the other tasks, and one that goes on with this one."""
    others = ",".join(name for name in TASKS if name != task)
    for experiment, kind in (("joint", ()), ("task_embedding", ("adapter.instruction=task_embedding",))):
        before, after = without_new_task(config, experiment), then_new_task(config, experiment)
        yield Training(experiment, config.seed, before, (f"tasks=[{others}]",))
        going_on = (*kind, f"train.init_from={before}", f"train.steps={config.new_task_steps}")
        asked = (f"run={after}", f"oracles={config.oracles}")
        yield Training(f"single_{task}", config.seed, after, going_on, (asked,))


def _figures(config: ReproduceConfig) -> Iterator[list[str]]:
    runs = {experiment: str(run_folder(config, experiment)) for experiment in config.experiments}
    if "joint" not in runs:
        return
    single = [path for experiment, path in runs.items() if experiment.startswith("single_")]
    followed = [runs[f"single_{task}"] for task in config.curve if f"single_{task}" in runs]
    yield ["figure=4", f"run={runs['joint']}"]
    yield ["figure=9", f"run={runs['joint']}"]
    yield ["figure=6", f"runs=[{','.join([runs['joint'], *single])}]"]
    yield ["figure=7", f"runs=[{','.join([runs['joint'], *followed])}]"]


def _state(folder: Path) -> str:
    """Names the weights of a run's newest checkpoint."""
    return hashlib.sha256((folder / "checkpoints" / "latest" / "state.json").read_bytes()).hexdigest()[:16]


def _states(config: ReproduceConfig) -> str:
    return "-".join(_state(run_folder(config, experiment)) for experiment in config.experiments)

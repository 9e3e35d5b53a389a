"""The paper's claims in miniature: which commands train and evaluate what, and running those that are not done."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ipai.errors import IpaiError
from ipai.evaluation.layout import FOLDER, SCORES
from ipai.files import write_json
from ipai.records import RecordError, read_record
from ipai.runs.step_folders import step_folders

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
    seed: int
    limit: int
    oracles: int
    experiments: list[str] = field(default_factory=list)
    train: list[str] = field(default_factory=list)
    curve: list[str] = field(default_factory=list)
    evaluate: list[str] = field(default_factory=list)
    build: list[str] = field(default_factory=list)
    samples: int | None = None


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


def run_folder(config: ReproduceConfig, experiment: str) -> Path:
    """Where an experiment trains."""
    return Path(config.runs_root) / f"{experiment}-toy"


def reproduce(config: ReproduceConfig, run: Run) -> None:
    """Build the data, train every experiment, evaluate all of it and draw the figures.

    Raises:
        IpaiError: A command failed.
    """
    ledger = Ledger(Path(config.runs_root) / "reproduce-toy.json", run)
    samples = [] if config.samples is None else [f"samples={config.samples}"]
    ledger.do(["scripts/make_toy_sources.py", f"output={config.sources}", *samples], output=Path(config.sources))
    places = [f"all.sources={config.sources}", f"all.output={config.shards}"]
    ledger.do(["scripts/build_datasets.py", "recipe=toy", *places, *config.build], output=Path(config.shards))
    for experiment in config.experiments:
        folder = run_folder(config, experiment)
        # Not remembered: a finished run says so at once, and one whose settings changed must refuse.
        code = run(
            ["train.py", f"experiment={experiment}", "recipe=toy", f"run={folder}", f"data.root={config.shards}",
             f"train.seed={config.seed}", "checkpoint.keep=1000", "logger=none", *config.train]
        )  # fmt: skip
        if code:
            raise IpaiError(f"the training of {experiment} ended with {code}; mend that and start again")
        for keys in evaluations(config, experiment):
            own = [f"limit={config.limit}", f"oracles={config.oracles}", *config.evaluate]
            ledger.do(["scripts/evaluate.py", *keys, *own], _state(folder), folder / FOLDER / SCORES)
    for keys in _figures(config):
        ledger.do(["scripts/figures.py", *keys, f"output={config.figures}"], _states(config))


def evaluations(config: ReproduceConfig, experiment: str) -> Iterator[list[str]]:
    """The keys of each evaluation of an experiment: its end, and what a claim needs besides."""
    folder = run_folder(config, experiment)
    yield [f"run={folder}"]
    if experiment == "joint":
        yield [f"run={folder}", "weights=start"]
        yield [f"run={folder}", "weights=ip_adapter_plus"]
    # The wordings that the run's own evaluation does not have.
    others = {
        "joint": ("train", "fixed"),
        "fixed_instruction": ("train", "val"),
        "average_instruction": ("train", "val"),
    }.get(experiment, ())
    yield from ([f"run={folder}", f"instructions={wordings}"] for wordings in others)
    followed = (
        config.curve if experiment == "joint" else [task for task in config.curve if experiment == f"single_{task}"]
    )
    if followed:
        tasks = f"tasks=[{','.join(followed)}]"
        for checkpoint in list(step_folders(folder / "checkpoints").values())[:-1]:
            yield [f"checkpoint={checkpoint}", tasks]
        if experiment != "joint":
            yield [f"run={folder}", "weights=start"]


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

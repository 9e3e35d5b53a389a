"""Which commands reproduce the claims, what a repeated start skips, and the page that is written from evaluations."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipai.errors import ConfigError, IpaiError
from ipai.evaluation.reporting.reproducing import ReproduceConfig, draw_figures, reproduce
from ipai.evaluation.reporting.results import MEANING, results
from tests.helpers.evaluations import write_reproduction


@pytest.fixture
def config(tmp_path: Path) -> ReproduceConfig:
    places = {name: str(tmp_path / name) for name in ("sources", "shards", "runs_root", "figures")}
    return ReproduceConfig(
        **places, output=str(tmp_path / "results.md"), seed=3, at_once=1, dtype="auto", limit=5, oracles=0,
        curve=["object"],
        experiments=["joint", "single_object", "fixed_instruction"], train=["train.steps=2"],
        repeated=["joint"], more_seeds=[4], new_task="face", new_task_steps=1,
    )  # fmt: skip


def evaluated_into(keys: dict[str, str]) -> Path:
    """The folder that `ipai.evaluation.evaluated_run` chooses."""
    if "output" in keys:
        return Path(keys["output"])
    if "checkpoint" in keys:
        checkpoint = Path(keys["checkpoint"])
        return checkpoint.parents[1] / "evaluation" / checkpoint.name
    return Path(keys["run"]) / "evaluation" / (keys.get("weights") or keys.get("instructions") or "")


class Commands:
    """Stands for the project's commands: writes down what is run, and leaves what the next ones look for."""

    def __init__(self, fail: str | None = None, trains: bool = True, seconds: float = 0.0) -> None:
        self.fail, self.trains, self.seconds = fail, trains, seconds
        self.ran: list[str] = []

    def __call__(self, words: list[str]) -> int:
        self.ran.append(" ".join(words))
        keys = dict(word.split("=", 1) for word in words[1:])
        made = keys.get("output") if "toy_sources" in words[0] else keys.get("all.output")
        if made:
            Path(made).mkdir(parents=True, exist_ok=True)
        if "train.init_from" in keys:
            assert (Path(keys["train.init_from"]) / "checkpoints" / "latest" / "state.json").exists(), "not trained yet"
        if words[0] == "train.py" and self.trains:
            time.sleep(self.seconds)
            for name in ("step-00000001", "step-00000002", "latest"):
                (Path(keys["run"]) / "checkpoints" / name).mkdir(parents=True, exist_ok=True)
            (Path(keys["run"]) / "checkpoints" / "latest" / "state.json").write_text(keys["run"])
        if words[0] == "scripts/evaluate.py":
            folder = evaluated_into(keys)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "scores.json").write_text(self.ran[-1])
        if words[0] == "scripts/figures.py":
            Path(keys["output"]).mkdir(exist_ok=True)
            (Path(keys["output"]) / f"figure-{keys['figure']}.png").touch()
        return 1 if self.fail and self.fail in self.ran[-1] else 0


def test_several_at_once_are_the_same_commands(config: ReproduceConfig, tmp_path: Path) -> None:
    one, several = Commands(), Commands(seconds=0.05)
    reproduce(config, one, one)
    elsewhere = replace(config, runs_root=str(tmp_path / "beside"), at_once=4)
    reproduce(elsewhere, several, several)
    renamed = [line.replace(elsewhere.runs_root, config.runs_root) for line in several.ran]
    assert sorted(renamed[2:]) == sorted(one.ran[2:])


def test_the_commands_are_the_real_ones_and_cover_the_claims(config: ReproduceConfig) -> None:
    commands = Commands()
    reproduce(config, commands, commands)
    trained = [line for line in commands.ran if line.startswith("train.py")]
    names = [line.split("run=")[1].split()[0].rsplit("/", 1)[1] for line in trained]
    assert names == [
        "joint-toy", "single_object-toy", "fixed_instruction-toy",
        "joint-toy-without-face", "joint-toy-then-face",
        "task_embedding-toy-without-face", "task_embedding-toy-then-face", "joint-toy-seed4",
    ]  # fmt: skip
    assert all(f"train.seed={4 if 'seed4' in line else 3} " in line for line in trained)
    assert all("train.steps=2" in line and "checkpoint.keep=1000" in line for line in trained)
    assert all("data.latents=cache data.image_tokens=cache" in line for line in trained)
    assert "tasks=[copy,style,object,structure]" in trained[3]
    assert trained[6].startswith("train.py experiment=single_face")
    going_on = f"adapter.instruction=task_embedding train.init_from={config.runs_root}/task_embedding-toy-without-face"
    assert trained[6].endswith(f"train.steps=2 {going_on} train.steps=1")
    joint = f"run={config.runs_root}/joint-toy"
    evaluated = [line.removeprefix("scripts/evaluate.py ") for line in commands.ran if "evaluate.py" in line]
    for keys in (f"{joint} oracles=0 crossed=5 limit=5", f"{joint} weights=start",
                 f"{joint} weights=ip_adapter_plus oracles=0 crossed=5",
                 f"{joint} instructions=train", f"{joint} instructions=fixed", f"{joint} seeds_per_sample=2",
                 f"{joint}-seed4 ", f"{joint}-then-face oracles", f"{joint}-then-face weights=start"):  # fmt: skip
        assert any(line.startswith(keys) for line in evaluated), keys
    for run in ("joint", "single_object"):
        assert any(f"{run}-toy/checkpoints/step-00000001 tasks=[object]" in line for line in evaluated)
    assert not any("step-00000002" in line for line in evaluated)  # the newest is the run itself
    assert not any("-without-face " in line for line in evaluated)
    drawn = Commands()
    draw_figures(config, drawn)
    assert [line.split()[1] for line in drawn.ran if "figures.py" in line] == [
        f"figure={number}" for number in (4, 9, 6, 7)
    ]


def test_started_again_it_only_asks_the_trainings_whether_they_are_done(config: ReproduceConfig) -> None:
    failing = Commands(fail="weights=ip_adapter_plus")
    with pytest.raises(IpaiError, match="what is done is kept"):
        reproduce(config, failing, failing)
    again = Commands()
    reproduce(config, again, again)
    assert not any("build_datasets" in line or "joint-toy weights=start" in line for line in again.ran)
    third = Commands()
    reproduce(config, third, third)
    assert all(line.startswith(("train.py", "scripts/cache_latents.py")) for line in third.ran)
    (Path(config.runs_root) / "joint-toy" / "checkpoints" / "latest" / "state.json").write_text("trained on")
    changed = Commands(trains=False)
    reproduce(config, changed, changed)
    assert any("joint-toy weights=start" in line for line in changed.ran)
    assert not any("single_object-toy weights" in line for line in changed.ran)


@pytest.mark.parametrize("name", ["", "start", "noises", "fixed", "step-00000001"])
def test_an_evaluation_that_was_lost_is_made_again_alone(config: ReproduceConfig, name: str) -> None:
    reproduce(config, Commands(), Commands())
    (Path(config.runs_root) / "joint-toy" / "evaluation" / name / "scores.json").unlink()
    again = Commands()
    reproduce(config, again, again)
    evaluated = [line for line in again.ran if "evaluate.py" in line]
    assert len(evaluated) == 1
    assert name in evaluated[0]


def test_another_limit_evaluates_anew_and_so_does_going_back(config: ReproduceConfig) -> None:
    reproduce(config, Commands(), Commands())
    for limit in (6, 5):
        again = Commands()
        reproduce(replace(config, limit=limit), again, again)
        assert sum("evaluate.py" in line for line in again.ran) == len(
            list(Path(config.runs_root).rglob("scores.json"))
        )


def test_figures_are_drawn_anew_where_one_is_lost_or_scores_are_others(config: ReproduceConfig) -> None:
    reproduce(config, Commands(), Commands())
    draw_figures(config, Commands())
    (Path(config.figures) / "figure-6.png").unlink()
    lost, others = Commands(), Commands()
    draw_figures(config, lost)
    assert [line.split()[1] for line in lost.ran] == ["figure=6"]
    (Path(config.runs_root) / "joint-toy" / "evaluation" / "scores.json").write_text("others")
    draw_figures(config, others)
    assert len(others.ran) == 4


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"more_seeds": [3]}, "from seed=3"),
        ({"more_seeds": [1, 1]}, "differ from each other"),
        ({"experiments": ["single_object"]}, "must hold joint"),
        ({"experiments": [], "repeated": [], "new_task": None}, "nothing would be trained"),
        ({"repeated": ["joint", "new_task"], "new_task": None}, r"repeated=\[joint\]"),
        ({"repeated": ["joint", "single_stlye"]}, r"holds single_stlye.*repeated=\[joint\]"),
        ({"experiments": []}, r"holds joint, which is not trained; say repeated=\[new_task\]"),
    ],
)
def test_what_cannot_end_is_refused_before_anything_runs(
    config: ReproduceConfig, changed: dict[str, Any], message: str
) -> None:
    commands = Commands()
    with pytest.raises(ConfigError, match=message):
        reproduce(replace(config, **changed), commands, commands)
    assert not commands.ran


def test_the_new_task_alone_is_trained_and_told_with_each_of_its_seeds(config: ReproduceConfig) -> None:
    alone, commands = replace(config, experiments=[], repeated=["new_task"]), Commands()
    reproduce(alone, commands, commands)
    draw_figures(alone, commands)
    assert not any("figures.py" in line for line in commands.ran)
    trained = [line for line in commands.ran if line.startswith("train.py")]
    assert len(trained) == 8  # two ways of telling, before and after, two seeds
    for name in ("joint", "task_embedding"):
        for seed, of_seed in ((3, ""), (4, "-seed4")):
            before, after = (f"{config.runs_root}/{name}-toy-{when}-face{of_seed}" for when in ("without", "then"))
            [first], [last] = ([line for line in trained if f"run={run} " in line] for run in (before, after))
            assert f"train.seed={seed} " in first
            assert f"train.seed={seed} " in last
            assert f"train.init_from={before} " in last
            for weights in ("oracles=0", "weights=start"):
                assert any(line.startswith(f"scripts/evaluate.py run={after} {weights}") for line in commands.ran)
    write_reproduction(alone)
    page = results(alone, "x", None)
    assert "The new task had 10 steps and 100 samples" in page
    rows = {line.split(" | ")[0]: line for line in page.splitlines() if line.startswith(("| before, ", "| after, "))}
    assert list(rows) == [f"| {when}, by {told}" for when in ("before", "after") for told in ("text", "embedding")]
    assert "the mean over training seeds" in page
    assert "what another one changes" not in page
    assert "### face after its first samples, told by text" in page
    assert "± 0.0000 (" in rows["| before, by text"]
    assert "± 0.0071 (" in rows["| after, by embedding"]
    assert page.startswith("# A new task in the toy world: face\n")
    assert not any(word in page for word in ("Joint against single-task", "InstructPix2Pix", "a leak", "{"))


def test_the_page_says_what_was_measured_and_keeps_what_was_written(config: ReproduceConfig) -> None:
    write_reproduction(config)
    page = results(config, "python scripts/reproduce_toy.py", None)
    assert "joint run had 10 steps and 1,000 samples" in page
    assert "| joint is on a par with the single-task runs (single_object) or better, by the scores | yes |" in page
    assert "0123456789ab" in page
    assert "at most 10% of the other's mean" in page
    assert "{" not in page
    assert "fixed_instruction-toy, fixed instructions" in page
    assert "± 0.0141" in page  # what the joint run's two seeds differ by
    assert "| 500 | 60 ± 5 % | 60 ± 5 % |  |  |" in page
    assert page.count("### fixed_instruction, told by unseen wordings") == 1
    assert "Scores of face after the other tasks. The oracles" in page  # one seed of it
    assert "Not written yet" in page
    written = page.replace("Not written yet", "The claim holds")
    assert results(config, "x", written).split(MEANING)[1] == written.split(MEANING)[1]

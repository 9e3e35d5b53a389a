"""An Optuna search whose trials are the ordinary command.

`pip install optuna`, then `python examples/sweeps/optuna_search.py` from the repository's root. Further words go to
train.py, such as `data.root=FOLDER`. The study lies in runs/optuna.db, and the same command adds trials to it.
"""

import json
import subprocess
import sys
from pathlib import Path

RUNS = Path("runs")
TRIALS = 20


def overrides(trial: "optuna.Trial") -> list[str]:
    """What a trial changes, as words of the command."""
    rate = trial.suggest_float("train.learning_rate", 1e-5, 1e-3, log=True)
    power = trial.suggest_categorical("objective.timestep_power", [1.0, 1.5, 2.0])
    return [f"train.learning_rate={rate}", f"objective.timestep_power={power}", f"run=optuna-{trial.number:04d}"]


def last_loss(folder: Path) -> float:
    """The last validation loss of a run."""
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [float(line["validation/loss"]) for line in lines if "validation/loss" in line][-1]


def objective(trial: "optuna.Trial") -> float:
    """Train, and return what is minimised."""
    words = ["experiment=joint", "recipe=toy", "logger=none", f"runs_root={RUNS}", *sys.argv[1:], *overrides(trial)]
    subprocess.run([sys.executable, "train.py", *words], check=True)
    return last_loss(RUNS / f"optuna-{trial.number:04d}")


if __name__ == "__main__":
    import optuna

    RUNS.mkdir(exist_ok=True)
    study = optuna.create_study(
        study_name="ipai", storage=f"sqlite:///{RUNS}/optuna.db", load_if_exists=True, direction="minimize"
    )
    study.optimize(objective, n_trials=TRIALS)
    print(study.best_params)

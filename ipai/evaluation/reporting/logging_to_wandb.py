"""An evaluation in the wandb run of its training: numbers below `evaluation/`, pictures beside them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ipai.config import TrainingRun, to_dict
from ipai.evaluation.layout import FOLDER
from ipai.evaluation.reporting.grids import HEADS, Answer
from ipai.training.loggers import WandbLogger, wandb_id


def has_wandb_run(run: Path | None, training: TrainingRun | None) -> bool:
    """Whether the training was logged to wandb."""
    logged = training is not None and training.logger.wandb != "off"
    return run is not None and logged and (run / "wandb" / "run_id").is_file()


def log_evaluation(
    run: Path, training: TrainingRun, folder: Path, scores: Mapping[str, Any], pictures: Sequence[Answer]
) -> None:
    """Log means, and a table of pictures, at the sample count of the evaluated checkpoint.

    Args:
        run: The run folder.
        training: Its configuration.
        folder: Where the evaluation lies; its name tells evaluations with other settings apart.
        scores: The content of scores.json.
        pictures: Rows of the table.
    """
    os.environ.setdefault("WANDB_SILENT", "true")
    prefix = FOLDER if folder.name == FOLDER else f"{FOLDER}-{folder.name}"
    import wandb

    table = wandb.Table(columns=["task", "instruction", "prompt", *HEADS])
    for question, row in pictures:
        table.add_data(question.task, question.instruction, question.prompt, *map(wandb.Image, row))
    logger = WandbLogger(training.logger, run, wandb_id(run), to_dict(training))
    try:
        logger.log(scores["samples_seen"], flat(scores, prefix))
        logger.run.log({"samples_seen": scores["samples_seen"], f"{prefix}/pictures": table})
    finally:
        logger.close()


def flat(scores: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """Means by `<prefix>/<task>/<score>`, and oracles by `<prefix>-oracles/<kind>/<task>/<factor>`."""
    values = {
        f"{prefix}/{task}/{name}": value["mean"] for task, of in scores["tasks"].items() for name, value in of.items()
    }
    for kind, tasks in (scores["oracles"] or {"tables": {}})["tables"].items():
        for task, factors in tasks.items():
            for name, factor in factors.items():
                if factor["taken"] is not None:
                    values[f"{prefix}-oracles/{kind}/{task}/{name}"] = factor["taken"]["mean"]
    return values

"""Where an evaluation goes besides its own folder: the run's report and its wandb run."""

from pathlib import Path

from ipai.evaluation.config import EvaluationConfig
from ipai.evaluation.evaluating import Evaluated
from ipai.evaluation.layout import FOLDER
from ipai.evaluation.reporting.grids import answers_by_task
from ipai.evaluation.reporting.logging_to_wandb import has_wandb_run, log_evaluation
from ipai.evaluation.reporting.report import write_report


def publish(done: Evaluated, config: EvaluationConfig) -> Path | None:
    """Log to the run's wandb run if it has one; write the report if this is the run's main evaluation.

    Returns:
        The report's page, if there is one.

    Raises:
        DataError: A picture is missing or damaged.
    """
    run, training = done.evaluated.run, done.evaluated.training
    if run is None or training is None:
        return None
    if config.wandb == "auto" and has_wandb_run(run, training):
        pictures = [one for own in answers_by_task(done.parts, config.shown).values() for one in own]
        log_evaluation(run, training, done.folder, done.scores, pictures)
    return write_report(run, done, config.shown) if done.folder == run / FOLDER else None

"""The learning rate as a function of samples seen: no scheduler object, hence nothing to restore or to step N times."""

import math

from ipai.config import TrainConfig


def learning_rate(config: TrainConfig, samples_seen: int) -> float:
    """Rate for the step that starts after `samples_seen` samples: linear warm-up, then constant or cosine to zero."""
    step = samples_seen / config.batch_size
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / config.warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    progress = (step - config.warmup_steps) / max(config.steps - config.warmup_steps, 1)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))

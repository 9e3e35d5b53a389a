"""Where numbers and pictures go: `metrics.jsonl` always, Weights & Biases when it is wanted."""

import json
import logging
import math
import os
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from ipai.config import LoggerConfig
from ipai.errors import ConfigError
from ipai.files import atomic_path, write_text
from ipai.records import RecordError, parsed, read_json_lines

log = logging.getLogger(__name__)

_PATIENCE_S = 30  # with wandb's server, at the start and at the end; in between it is another process that waits


class Logger(Protocol):
    """A sink of metrics; `samples_seen` is the step axis of all of them."""

    def log(self, samples_seen: int, values: dict[str, float]) -> None:
        """Record numbers."""

    def log_images(self, samples_seen: int, images: dict[str, Image.Image]) -> None:
        """Record pictures."""

    def close(self) -> None:
        """Flush what is left."""


_WANDB_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


@dataclass(frozen=True)
class MetricsLine:
    """What every line of `metrics.jsonl` has."""

    samples_seen: int


def last_logged(folder: Path) -> int:
    """Samples seen at the last whole line of a run's metrics; -1 if there is none."""
    path = folder / "metrics.jsonl"
    return max((line.samples_seen for line in read_json_lines(path, MetricsLine)), default=-1) if path.exists() else -1


class JsonLines:
    """`metrics.jsonl`, one object a line; lines beyond the point a run resumes from are taken out first."""

    def __init__(self, folder: Path, samples_seen: int) -> None:
        self._path = folder / "metrics.jsonl"
        self._samples = folder / "samples"
        if self._path.exists():
            self._cut(samples_seen)
        self._file = self._path.open("a", encoding="utf-8")

    def log(self, samples_seen: int, values: dict[str, float]) -> None:
        """Append one line; numbers JSON cannot hold become null."""
        finite = {key: value if math.isfinite(value) else None for key, value in values.items()}
        self._file.write(json.dumps({"samples_seen": samples_seen, **finite}) + "\n")
        self._file.flush()

    def log_images(self, samples_seen: int, images: dict[str, Image.Image]) -> None:
        """Write `samples/<samples seen>-<name>.png`."""
        for name, image in images.items():
            with atomic_path(self._samples / f"{samples_seen:09d}-{name}.png") as aside:
                image.save(aside, format="PNG")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cut(self, samples_seen: int) -> None:
        kept = []
        for line in self._path.read_text(encoding="utf-8").splitlines():
            try:
                if parsed(line, MetricsLine).samples_seen <= samples_seen:
                    kept.append(line + "\n")
            except RecordError:
                log.warning("%s: left out a line that was cut off: %.60s", self._path, line)
        write_text(self._path, "".join(kept))


class WandbLogger:
    """A wandb run whose id lives as long as the run folder.

    Args:
        config: Project, entity, online or not. A server that cannot be reached makes this start an offline one.
        folder: The run folder.
        run_id: The run's id, the same for all starts.
        facts: The configuration to show.
        logged_until: Samples seen at the last line of an earlier start. What a resumed run computes again up to there
            is not sent again.
    """

    def __init__(
        self, config: LoggerConfig, folder: Path, run_id: str | None, facts: dict[str, Any], logged_until: int = -1
    ) -> None:
        import wandb

        online = config.wandb == "online" or (config.wandb == "auto" and _has_key())
        settings = wandb.Settings(
            silent=True, console="off", x_disable_meta=True, init_timeout=_PATIENCE_S, finish_timeout=_PATIENCE_S
        )
        begin = partial(
            wandb.init, project=config.project, entity=config.entity, name=folder.name, id=run_id, dir=folder,
            config=facts, resume="allow", settings=settings,
        )  # fmt: skip
        try:
            self.run = begin(mode="online" if online else "offline")
        except wandb.errors.CommError as error:
            log.warning("wandb cannot be reached, so this start is logged offline (%.200s)", error)
            wandb.teardown()  # or its service would hold the id
            online, self.run = False, begin(mode="offline")
        self._folder = None if online else Path(self.run.dir).parent
        self.run.define_metric("samples_seen")
        self.run.define_metric("*", step_metric="samples_seen")
        self._image = wandb.Image
        self._logged_until = logged_until

    @property
    def run_id(self) -> str:
        """The id to hand over when the run goes on."""
        return str(self.run.id)

    def log(self, samples_seen: int, values: dict[str, float]) -> None:
        """Send numbers."""
        if samples_seen <= self._logged_until:
            return
        self.run.log({"samples_seen": samples_seen, **values})

    def log_images(self, samples_seen: int, images: dict[str, Image.Image]) -> None:
        """Send pictures below `samples/`."""
        if samples_seen <= self._logged_until:
            return
        self.run.log(
            {"samples_seen": samples_seen, **{f"samples/{name}": self._image(image) for name, image in images.items()}}
        )

    def close(self) -> None:
        """Finish the run, and say how an offline one is sent later."""
        self.run.finish()
        if self._folder is not None:
            log.info("send this start to wandb with: wandb sync %s", self._folder)


def wandb_id(folder: Path) -> str:
    """The run folder's wandb id, made on the first call; the file outlives a crash before the first checkpoint.

    The agent of a wandb sweep chooses it beforehand, and finds its trial by it.
    """
    path = folder / "wandb" / "run_id"
    if not path.exists():
        chosen = os.environ.get("WANDB_RUN_ID") or os.urandom(8).hex()
        if not _WANDB_ID.fullmatch(chosen):
            raise ConfigError(
                f"WANDB_RUN_ID={chosen!r} is no id of a run: letters, digits, _ and -, at most 128 of them"
            )
        write_text(path, chosen + "\n")
    found = path.read_text(encoding="utf-8", errors="replace").strip()
    if not _WANDB_ID.fullmatch(found):
        raise ConfigError(f"{path} holds {found[:80]!r}, which is no id of a wandb run; remove that file")
    return found


def _has_key() -> bool:
    import wandb

    return wandb.login(prompt=False)

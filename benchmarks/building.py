"""`builders`: the engine with one worker and with two against a plain loop over the same samples, on toy sources."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from benchmarks.options import Options
from benchmarks.ours import CONF
from benchmarks.report import Report, Row
from benchmarks.timing import Times, Work, take_turns

# The builders that draw nothing: those of style and structure wait for their teacher, which no engine makes faster.
_SOURCES = {"copy": "journeydb", "object": "coco", "face": "celeba"}
_SAMPLES = {True: 120, False: 1000}  # a source; by quick
_SIDE = {True: 64, False: 512}  # px of the built pictures; the sources are enlarged to them
_SHARDS = 4  # at least, so that two workers have something to share
_WAYS = {"plain loop": None, "engine, 1 worker": 1, "engine, 2 workers": 2}
CONTESTANTS = {f"{task}: {way}": (task, workers) for task in _SOURCES for way, workers in _WAYS.items()}


def measure(options: Options, done: Callable[[], object]) -> Report:
    """Let every builder build its set in each way, in turns, and compare with its own plain loop."""
    samples = _SAMPLES[options.quick]
    sources = ensure_sources(options.work, samples)
    counts: dict[str, int] = {}
    makers: dict[str, Callable[[], AbstractContextManager[Work]]] = {
        name: partial(_contestant, name, sources, options, counts) for name in options.chosen(list(CONTESTANTS))
    }
    times = take_turns(makers, options, done)
    rows = [_row(name, measured, times, counts[name]) for name, measured in times.items()]
    notes = [
        "Toy sources: pictures of 64 px, enlarged to the side below. Planning is not timed, starting workers is.",
        *(["At 64 px opening, hashing and syncing files are most of the work."] if options.quick else []),
    ]
    facts = {"pictures a source": samples, "side of the built pictures, px": _SIDE[options.quick]}
    return Report("builders", options.quick, rows, facts=facts, notes=notes)


def ensure_sources(work: Path, samples: int) -> Path:
    """Toy sources of so many pictures, written if they are not there."""
    from ipai.toyworld.sources.config import SourcesConfig
    from ipai.toyworld.sources.folder import are_written
    from ipai.toyworld.sources.write import write_sources

    config = SourcesConfig(output=str(work / f"sources-{samples}"), samples=samples, seed=0, size=64)
    if not are_written(config):
        for _ in write_sources(config):
            pass
    return Path(config.output)


@contextmanager
def _contestant(name: str, sources: Path, options: Options, counts: dict[str, int]) -> Iterator[Work]:
    from data_builders.engine.config import parse
    from data_builders.engine.plan import make_plan
    from data_builders.registry import create_builder, schema_of

    task, workers = CONTESTANTS[name]
    output = options.work / "built"
    words = [
        f"task=toy_{task}", f"source.root={sources / _SOURCES[task]}", f"output={output}",
        f"shard_size={_SAMPLES[options.quick] // _SHARDS}", f"image_size={_SIDE[options.quick]}",
        f"executor.workers={workers or 1}",
    ]  # fmt: skip
    with initialize_config_dir(version_base="1.3", config_dir=str(CONF / "build")):
        raw = compose("build_datasets", overrides=words)
    config: Any = parse(raw, schema_of(raw.task, raw.get("builder")))
    builder = create_builder(config)
    plan = make_plan(builder.select(), config)
    counts[name] = sum(len(shard.records) for shard in plan.shards)

    def engine() -> None:
        from data_builders.engine.run import build

        shutil.rmtree(output, ignore_errors=True)
        for _ in build(builder, config, plan):
            pass

    try:
        yield engine if workers else partial(_plain_loop, builder, plan, output)
    finally:
        shutil.rmtree(output, ignore_errors=True)


def _plain_loop(builder: Any, plan: Any, output: Path) -> None:
    """What a script would do: make each sample, append it to a tar; no hashes, no sidecars, nothing to go on from."""
    from data_builders.engine.records import Drop

    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    for shard in plan.shards:
        with tarfile.open(output / f"{shard.name}.tar", "w") as tar:
            for record in shard.records:
                try:
                    sample = builder.make(record)
                except Drop:
                    continue
                facts = {"prompt": sample.prompt, "cond_prompt": sample.cond_prompt, "slot": sample.slot}
                members = {
                    "json": json.dumps(facts).encode(),
                    "target.jpg": sample.target,
                    "cond.jpg": sample.condition,
                }
                for extension, content in members.items():
                    if content is not None:
                        header = tarfile.TarInfo(f"{record.key}.{extension}")
                        header.size = len(content)
                        tar.addfile(header, io.BytesIO(content))


def _row(name: str, times: Times, all_times: dict[str, Times], count: int) -> Row:
    task, workers = CONTESTANTS[name]
    plain = all_times.get(f"{task}: plain loop")
    return {
        "builder": name,
        "samples/s": count / times.wall,
        "samples/s and core": count / times.wall / (workers or 1),
        "times the plain loop": plain.wall / times.wall if plain is not None else None,
        "fastest, slowest s": f"{min(times.wall_s):.3g}, {max(times.wall_s):.3g}",
    }

"""Named bad inputs at every door, each with what comes of it: an error of ours that names the thing and the mend.

A row is a door, a name, and words that the message must hold; nothing may end in any other exception, in a hang, or
with something lost. Doors that need a process, a server or a disk of their own have their tests beside the others.
"""

import io
import json
import os
import struct
import tarfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException
from PIL import Image, PngImagePlugin
from safetensors.torch import save_file

from ipai.adapter import InstructAdapter, load_adapter, read_metadata, save_adapter
from ipai.backbones.loading import resolve_device
from ipai.cluster.overview import survey
from ipai.data.images import decode_image
from ipai.data.shards import ShardSet
from ipai.errors import CheckpointError, ConfigError, DataError, IpaiError, WeightsError
from ipai.evaluation.config import EvaluationConfig
from ipai.evaluation.config import check as check_evaluation
from ipai.evaluation.evaluated_run import read_run
from ipai.evaluation.reporting.comparing import read_evaluation
from ipai.evaluation.reporting.report import read_metrics
from ipai.objective import make_objective
from ipai.pipeline.record import read_facts
from ipai.pipeline.settings import DrawingConfig
from ipai.pipeline.settings import check as check_drawing
from ipai.pipeline.sources import base_of_run
from ipai.runs import checkpoint, outcome
from ipai.schema import typed
from tests.helpers.composing import CONF, compose
from tests.helpers.specs import paper_spec

JOINT = "experiment=joint"

TRAIN: list[tuple[str, str]] = [
    *((f"{key}=0", f"{key}=0") for key in (
        "train.steps", "train.batch_size", "train.micro_batch_size", "train.learning_rate", "train.epsilon",
        "train.clip_norm", "train.ema_half_life", "checkpoint.every", "checkpoint.keep",
        "checkpoint.signal_check_every",
        "validation.every", "validation.image_every", "validation.image_steps", "instructions.cached_rows",
        "logger.every", "data.prefetch", "data.max_pixels", "data.shuffle_shards", "data.store.cache_gb",
        "adapter.branch_ff_mult", "base.resolution", "base.image_size", "base.resampler.width", "base.resampler.depth",
        "launch.nodes", "launch.minutes",
    )),
    *((f"{key}=-1", f"{key}=-1") for key in (
        "train.seed", "train.warmup_steps", "train.weight_decay", "adapter.init_sigma", "validation.samples",
        "validation.images", "data.workers", "data.drop.text", "data.drop.image", "data.drop.both",
        "data.max_skip_fraction", "data.store.patience_minutes", "launch.retries",
    )),
    *((f"{key}=nan", "must be a finite number") for key in (
        "train.learning_rate", "train.weight_decay", "train.epsilon", "train.clip_norm", "adapter.init_sigma",
        "data.drop.text", "data.drop.image", "data.max_skip_fraction", "validation.guidance_scale",
        "validation.adapter_scale", "data.weights.style", "data.store.cache_gb",
    )),
    *((f"{key}=inf", "must be a finite number") for key in (
        "train.learning_rate", "train.epsilon", "validation.guidance_scale", "validation.adapter_scale",
        "data.weights.copy",
    )),
    *((f"{key}=many", key) for key in (
        "train.steps", "train.learning_rate", "data.workers", "validation.samples", "checkpoint.keep",
        "base.resolution",
    )),
    *((f"{key}=1.5", key) for key in ("train.steps", "train.batch_size", "data.workers", "train.seed")),
    *((f"{key}=maybe", key) for key in ("dry_run", "verify", "train.compile", "adapter.mask_padding")),
    ("train.seed=99999999999999999999", "must lie between 0 and"),
    ("validation.image_steps=1000000000", "must lie between 1 and 1000"),
    ("data.drop.text=2", "must lie between 0 and 1"),
    ("data.drop={text: 0.9, image: 0.9, both: 0.9}", "come to more than 1"),
    ("train.betas=[0.9,0.95,0.99]", "train.betas"),
    ("train.betas=[0.9]", "train.betas"),
    ("train.betas=[0.9,1.5]", "must lie between 0 and 1"),
    ("train.batch_size=7 train.micro_batch_size=2", "the nearest that fits"),
    ("train.warmup_steps=10000000", "is longer than train.steps"),
    ("train.schedule=linear", "none of constant, cosine"),
    ("adapter.variant=sdxl", "is none of instruct"),
    ("adapter.variant=instrct", "did you mean instruct"),
    ("adapter.instruction=word", "is none of tokens"),
    ("adapter=ip_adapter_plus adapter.instruction=task_embedding", "cannot work"),
    ("adapter=instruct_released adapter.instruction=pooled", "cannot work"),
    ("instructions.source=random", "is none of pool, fixed"),
    ("instructions.source=fixed instructions.fixed=null", "instructions.fixed"),
    ("data.latents=disk", "is none of online, cache"),
    ("logger.wandb=yes", "logger.wandb"),
    ("launch.name=cloud", "is none of local, slurm"),
    ("launch=slurm launch.grace_seconds=100000000", "leaves nothing of launch.minutes"),
    ("tasks=[]", "tasks is empty"),
    ("tasks=[style,style]", "names one twice"),
    ("tasks=[stile]", "did you mean style"),
    ("tasks=style", ""),  # one value stands for a list of one
    ("data.weights.style=0", "must be above 0"),
    ("+data.weights.pose=1", "is none of copy"),
    ("base.dtype=fp16", "overflows the resampler"),
    ("base.dtype=int8", "is none of auto"),
    ("base.family=sd16", "did you mean sd15"),
    ("base.random_weights=true", "must hold the word random"),
    ("run=", "names no folder"),
    ("run=..", "names no folder"),
    ("run=a/..", "names no folder"),
    ("run='a\nb'", "control character"),
    ("objective.name=flux", "objective.name"),
    ("+objective.shift=3", "objective"),
    ("data.root=ftp://host/shards", "data.root"),
    ("data.root=s3://bucket/x data.latents=cache", "local folder"),
]  # fmt: skip

GENERATE: list[tuple[str, str]] = [
    *((f"{key}=0", key) for key in ("steps",)),
    *((f"{key}=nan", "must be a finite number") for key in (
        "guidance_scale", "scale", "lora_scale", "controlnet_scale", "four_pass.text", "four_pass.image",
    )),
    *((f"{key}=inf", "must be a finite number") for key in ("guidance_scale", "scale", "lora_scale")),
    ("steps=1000000000", "must lie between 1 and 1000"), ("steps=-3", "must lie between 1 and 1000"),
    ("seeds=[-1]", "must lie between 0"), ("seeds=[18446744073709551616]", "must lie between 0"),
    ("seeds=[]", "at least one instruction and one of seeds"), ("seeds=[a]", "seeds"),
    ("instruction=[]", "at least one instruction"), ("scheduler=best", "is none of ddim"),
    ("scheduler=eule", "did you mean euler"), ("guidance=three_pass", "did you mean four_pass"),
    ("task=pose", "is none of copy"), ("weights=mean", "is none of ema, raw"),
    ("controlnet=toy", "go together"), ("controlnet_image=x.png", "go together"),
    ("output=a.jpg", "must end in .png"), ("image=nowhere.png", "is no file"), ("image=/dev/null", "is no file"),
    ("image=.", "is no file"), ("output='a\nb.png'", "control character"),
]  # fmt: skip

EVALUATE: list[tuple[str, str]] = [
    *((f"{key}=0", f"{key}=0") for key in (
        "limit", "seeds_per_sample", "batch_size", "part_size", "shown", "clip.batch_size", "steps", "processes",
    )),
    *((f"{key}=-1", f"{key}=-1") for key in ("seed", "oracles", "crossed")),
    *((f"{key}=nan", "must be a finite number") for key in ("scale", "guidance_scale", "scale_by_task.style")),
    ("steps=100000", "must lie between 1 and 1000"), ("weights=best", "is none of ema"),
    ("instructions=words", "is none of auto"), ("scheduler=x", "is none of ddim"), ("wandb=maybe", "is none of auto"),
    ("guidance=many", "is none of ordinary"), ("guidance_by_task.style=many", "is none of ordinary"),
    ("tasks=[moon]", "is none of copy"), ("+scale_by_task.moon=1", "is none of copy"),
    ("run=null", "give run=FOLDER"), ("run=null checkpoint=x weights=start", "run's beginning"),
]  # fmt: skip


def words(text: str) -> list[str]:
    """The overrides of a row: those with a space inside are in brackets or quotes."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == " " and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


@pytest.mark.parametrize(("text", "message"), TRAIN, ids=[row[0] for row in TRAIN])
def test_settings_of_a_training(text: str, message: str) -> None:
    given = [JOINT, "data.root=x", *words(text)]
    if not message:
        compose(*given)
        return
    with pytest.raises((ConfigError, HydraException, OmegaConfBaseException)) as caught:
        make_objective(compose(*given).objective, {"alphas_cumprod": torch.linspace(0.9, 0.1, 10)})
    assert message in str(caught.value)


def composed(name: str, schema: type, *overrides: str) -> Any:
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir

    with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
        return typed(hydra_compose(name, overrides=list(overrides)), schema)


@pytest.mark.parametrize(("text", "message"), GENERATE, ids=[row[0] for row in GENERATE])
def test_settings_of_a_picture(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    given = {"checkpoint": "x", "image": str(tmp_path / "a.png"), "instruction": "[use it]"}
    given |= dict(word.split("=", 1) for word in words(text))
    with pytest.raises(ConfigError) as caught:
        check_drawing(composed("generate", DrawingConfig, *(f"{key}={value}" for key, value in given.items())))
    assert message in str(caught.value)


@pytest.mark.parametrize(("text", "message"), EVALUATE, ids=[row[0] for row in EVALUATE])
def test_settings_of_an_evaluation(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_evaluation(composed("evaluate", EvaluationConfig, "run=runs/x", *words(text)))
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["evil", "cuda:7", "cuda:99", "meta", "cud", "tpu", "cpu:x", "", "xla", "cuda:-1"])
def test_devices(name: str) -> None:
    with pytest.raises(ConfigError, match=f"device={name}"):
        resolve_device(name)


# What may have become of a JSON record: its text, or None for what is done to the file itself.
DAMAGE: dict[str, Callable[[str], bytes]] = {
    "empty": lambda _: b"",
    "cut": lambda text: text[: len(text) // 2].encode(),
    "a list": lambda _: b"[]",
    "null": lambda _: b"null",
    "a number": lambda _: b"3",
    "a text": lambda _: b'"record"',
    "no utf-8": lambda text: b"\xff\xfe" + text.encode(),
    "utf-16": lambda text: text.encode("utf-16"),
    "deep lists": lambda _: b"[" * 100_000,
    "deep objects": lambda _: b'{"a":' * 100_000,
    "zeros": lambda text: bytes(len(text)),
    "a web page": lambda _: b"<!DOCTYPE html><html><body>Not found</body></html>",
    "other keys": lambda _: b'{"hello": "world"}',
    "numbers as texts": lambda text: "".join(f'"{c}"' if c.isdigit() else c for c in text).encode(),
    "nulls for values": lambda text: json.dumps(dict.fromkeys(json.loads(text))).encode(),
    "lists for values": lambda text: json.dumps({key: [] for key in json.loads(text)}).encode(),
}


def shard_folder(folder: Path) -> Path:
    """A shard of one sample with its sidecar."""
    (folder / "copy").mkdir(parents=True)
    picture = io.BytesIO()
    Image.new("RGB", (64, 64)).save(picture, "JPEG")
    path = folder / "copy" / "train-000000.tar"
    with tarfile.open(path, "w") as tar:
        for name, data in {"a.json": json.dumps({"task": "copy", "prompt": "p"}).encode(),
                           "a.target.jpg": picture.getvalue()}.items():  # fmt: skip
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    facts = {"bytes": path.stat().st_size, "sha256": "0" * 64, "samples": []}
    path.with_suffix(".json").write_text(json.dumps(facts))
    return folder


@pytest.mark.parametrize("damage", DAMAGE)
def test_sidecars_of_shards(damage: str, tmp_path: Path) -> None:
    shard_folder(tmp_path)
    path = tmp_path / "copy" / "train-000000.json"
    path.write_bytes(DAMAGE[damage](path.read_text()))
    with pytest.raises(DataError, match=r"train-000000\.json is damaged"):
        ShardSet.open(tmp_path, "copy", "train")


@pytest.mark.parametrize("damage", DAMAGE)
def test_states_of_checkpoints(damage: str, tmp_path: Path) -> None:
    folder = checkpoint.save(
        tmp_path, checkpoint.Progress(3, 12), {"a.bin": lambda path: path.write_bytes(b"x") and None}, 1
    )
    path = folder / checkpoint.STATE
    path.write_bytes(DAMAGE[damage](path.read_text()))
    with pytest.raises(CheckpointError, match=r"state\.json"):
        checkpoint.progress_of(folder)
    assert checkpoint.newest(tmp_path) is None
    assert (folder / "a.bin").read_bytes() == b"x"


@pytest.mark.parametrize("damage", DAMAGE)
def test_outcomes_of_runs(damage: str, tmp_path: Path) -> None:
    outcome.record(tmp_path, "failed", "why")
    path = next(tmp_path.glob("*.json"))
    path.write_bytes(DAMAGE[damage](path.read_text()))
    assert outcome.read(tmp_path) is None


@pytest.mark.parametrize("damage", DAMAGE)
def test_scores_of_evaluations(damage: str, tmp_path: Path) -> None:
    text = json.dumps({"experiment": "joint", "weights": "ema", "samples_seen": 1})
    (tmp_path / "scores.json").write_bytes(DAMAGE[damage](text))
    with pytest.raises(DataError, match="holds no evaluation"):
        read_evaluation(tmp_path)


@pytest.mark.parametrize("damage", DAMAGE)
def test_lines_of_metrics(damage: str, tmp_path: Path) -> None:
    good = json.dumps({"samples_seen": 1, "loss/train": 0.5})
    (tmp_path / "metrics.jsonl").write_bytes(good.encode() + b"\n" + DAMAGE[damage](good) + b"\n" + good.encode())
    lines = read_metrics(tmp_path)
    assert [line["samples_seen"] for line in (lines[0], lines[-1])] == [1, 1]


@pytest.mark.parametrize("damage", DAMAGE)
def test_settings_in_pictures(damage: str, tmp_path: Path) -> None:
    text = json.dumps({"settings": {"a": 1}, "sha256": {}, "versions": {"torch": "2"}})
    info = PngImagePlugin.PngInfo()
    info.add_itxt("ipai", DAMAGE[damage](text).decode("latin-1").replace("\0", ""))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(ConfigError, match="is no PNG of"):
        read_facts(tmp_path / "a.png")


YAML = {
    "empty": b"", "a list": b"- a", "a text": b"hello", "cut": b"train: {steps: [1, 2", "tabs": b"a:\n\t- b",
    "no utf-8": b"a: \xff\xfe", "zeros": bytes(50), "deep": b"a: " + b"[" * 5000, "an alias": b"a: &x 1\nb: *x",
    "a bomb": b"a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]", "a python object": b"a: !!python/object/apply:os.system [ls]",
    "two documents": b"a: 1\n---\nb: 2", "other keys": b"hello: world", "train is a text": b"train: hello",
    "steps are texts": b"train: {steps: many, batch_size: few}", "base is a list": b"base: []",
    "a merge key": b"a: &a {b: 1}\nc: {<<: *a}", "a number": b"3",
}  # fmt: skip


@pytest.mark.parametrize("damage", YAML)
def test_configurations_of_runs(damage: str, tmp_path: Path) -> None:
    for name in ("good", "bad"):
        (tmp_path / name).mkdir()
    (tmp_path / "good" / "config.yaml").write_text("train: {steps: 2, batch_size: 4}")
    (tmp_path / "bad" / "config.yaml").write_bytes(YAML[damage])
    with pytest.raises(IpaiError):
        read_run(tmp_path / "bad")
    with pytest.raises(CheckpointError, match=r"config\.yaml"):
        base_of_run(tmp_path / "bad")
    assert "good" in [run.name for run in survey(tmp_path)]  # one bad folder hides no other


@pytest.mark.parametrize("kind", ["a pipe", "a folder", "a link to nothing", "gone"])
def test_files_that_are_none(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    {"a pipe": os.mkfifo, "a folder": os.mkdir, "gone": lambda _: None,
     "a link to nothing": lambda link: Path(link).symlink_to("nowhere")}[kind](path)  # fmt: skip
    with pytest.raises(CheckpointError):
        read_run(tmp_path)
    with pytest.raises(CheckpointError):
        base_of_run(tmp_path)


@pytest.fixture(scope="module")
def adapter_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("adapter") / "adapter.safetensors"
    torch.manual_seed(0)
    spec = paper_spec((8, 16), image_dim=8, token_dim=8, width=16, depth=1, heads=2, head_dim=8, instruction_dim=8)
    save_adapter(InstructAdapter(spec), path, {"step": "1"})
    return path


def header_of(path: Path) -> tuple[dict[str, Any], bytes]:
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def with_header(path: Path, target: Path, change: Callable[[dict[str, Any]], Any]) -> Path:
    """The file with another text under our key of its header."""
    header, rest = header_of(path)
    ours = json.loads(header["__metadata__"]["ipai"])
    changed = change(ours)
    header["__metadata__"]["ipai"] = changed if isinstance(changed, str) else json.dumps(ours)
    data = json.dumps(header).encode()
    target.write_bytes(struct.pack("<Q", len(data)) + data + rest)
    return target


def _set(name: str, value: str, ours: dict[str, Any]) -> None:
    ours["spec"][name] = value


HEADERS: dict[str, Callable[[dict[str, Any]], Any]] = {
    **{f"spec.{name}={value}": partial(_set, name, value)
       for name, value in [
           *((name, value) for name in ("width", "depth", "heads", "num_queries", "image_dim", "ff_mult")
             for value in ("0", "-1", "1.5", "null", '"8"', "10000000", "nonsense", "[]")),
           ("attention_sizes", "[]"), ("attention_sizes", "[0]"), ("attention_sizes", "[8]"), ("attention_sizes", "8"),
           ("attention_sizes", "[8, 1000000000]"), ("instruction", '"words"'), ("instruction", "3"),
           ("mask_padding", "2"), ("prompt_dim", "8"), ("instruction_dim", "9"),
       ]},
    "spec is a list": lambda ours: ours.update(spec=[]),
    "spec is gone": lambda ours: ours.pop("spec") and None,
    "spec lacks a field": lambda ours: ours["spec"].pop("width") and None,
    "spec has a field more": lambda ours: ours["spec"].update(colour='"red"'),
    "extra is a text": lambda ours: ours.update(extra="x"),
    "extra holds numbers": lambda ours: ours.update(extra={"step": 1}),
    "of a later version": lambda ours: ours.update(version=99),
    "of another format": lambda ours: ours.update(format="lora"),
    "version is a text": lambda ours: ours.update(version="1"),
    "no json": lambda _: "{",
    "deep": lambda _: "[" * 50_000,
    "a list": lambda _: "[]",
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_headers_of_adapters(name: str, adapter_file: Path, tmp_path: Path) -> None:
    path = with_header(adapter_file, tmp_path / "a.safetensors", HEADERS[name])
    with pytest.raises((WeightsError, ConfigError), match=r"a\.safetensors"):
        load_adapter(path)
    if name.startswith(("extra", "of ", "version", "no json", "deep", "a list", "spec is")):
        with pytest.raises(WeightsError):
            read_metadata(path)


def tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


TENSORS: dict[str, Callable[[dict[str, torch.Tensor]], Any]] = {
    "one is missing": lambda state: state.pop("image_proj.latents") is None,
    "one more": lambda state: state.update(extra=torch.zeros(1)),
    "misshapen": lambda state: state.update({"image_proj.latents": torch.zeros(1, 2, 3)}),
    "NaN": lambda state: state["image_proj.latents"].fill_(float("nan")),
    "inf": lambda state: state["image_proj.norm_out.weight"].fill_(float("inf")),
    "of integers": lambda state: state.update({"image_proj.latents": state["image_proj.latents"].int()}),
    "float64 beyond float32": lambda state: state.update(
        {"image_proj.latents": torch.full_like(state["image_proj.latents"], 1e300, dtype=torch.float64)}
    ),
    "of a LoRA": lambda state: (state.clear(), state.update({"unet.down_blocks.0.lora_A.weight": torch.zeros(2, 2)})),
    "empty": lambda state: (state.clear(), state.update(x=torch.zeros(0))),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_of_adapters(name: str, adapter_file: Path, tmp_path: Path) -> None:
    state = tensors(adapter_file)
    TENSORS[name](state)
    header, _ = header_of(adapter_file)
    save_file(state, tmp_path / "a.safetensors", header["__metadata__"])
    with pytest.raises(WeightsError, match=r"a\.safetensors"):
        load_adapter(tmp_path / "a.safetensors")


BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"", "eight bytes": lambda data: data[:8], "cut": lambda data: data[: len(data) // 2],
    "a header of 2^60 bytes": lambda data: struct.pack("<Q", 2**60) + data[8:], "zeros": lambda data: bytes(len(data)),
    "a web page": lambda _: b"<html>Not found</html>" * 50, "a zip": lambda data: b"PK\x03\x04" + data,
    "a pickle": lambda _: b"\x80\x04cos\nsystem\n(S'ls'\ntR.", "random": lambda _: os.urandom(5000),
    "more behind": lambda data: data + b"x" * 100,
}  # fmt: skip


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
@pytest.mark.parametrize("name", BYTES)
def test_bytes_of_adapters(name: str, suffix: str, adapter_file: Path, tmp_path: Path) -> None:
    path = (tmp_path / "a").with_suffix(suffix)
    path.write_bytes(BYTES[name](adapter_file.read_bytes()))
    with pytest.raises(WeightsError, match=f"a\\{suffix}"):
        load_adapter(path)


def jpeg() -> bytes:
    stream = io.BytesIO()
    Image.effect_noise((80, 60), 50).convert("RGB").save(stream, "JPEG")
    return stream.getvalue()


PICTURES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"", "text": lambda: b"hello" * 100, "a web page": lambda: b"<html></html>",
    "zeros": lambda: bytes(500),
    "cut": lambda: jpeg()[:300], "random": lambda: os.urandom(2000), "a tar": lambda: bytes(1024),
    "a PNG header alone": lambda: b"\x89PNG\r\n\x1a\n", "an SVG": lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    "a JPEG's magic alone": lambda: b"\xff\xd8\xff\xe0", "a GIF's head": lambda: b"GIF89a\x01\x00\x01\x00",
    "a PDF": lambda: b"%PDF-1.4\n%%EOF", "a WebP's head": lambda: b"RIFF\x00\x00\x00\x00WEBPVP8 ",
}  # fmt: skip


@pytest.mark.parametrize("name", PICTURES)
def test_bytes_of_pictures(name: str) -> None:
    with pytest.raises(IpaiError):
        decode_image(PICTURES[name](), 1_000_000)


def test_a_picture_that_is_too_large() -> None:
    stream = io.BytesIO()
    Image.new("1", (4000, 4000)).save(stream, "PNG")
    with pytest.raises(IpaiError):
        decode_image(stream.getvalue(), 1_000_000)


def sparse_tar(path: Path) -> None:
    """GNU tar's old form of a sparse member: the type and a map of two pieces."""
    member = tarfile.TarInfo("a.json")
    member.size = 512
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[156:157] = b"S"
    for index, value in enumerate((0, 512, 0, 0)):
        block[386 + 12 * index : 398 + 12 * index] = b"%011o\0" % value
    block[483:495] = b"%011o\0" % 1024
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + b"x" * 512 + bytes(1024))


def tars() -> Iterator[tuple[str, Callable[[Path], Any]]]:
    def write(names: list[str], data: bytes = b"{}") -> Callable[[Path], None]:
        def to(path: Path) -> None:
            with tarfile.open(path, "w") as tar:
                for name in names:
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))

        return to

    def twice(path: Path) -> None:
        data = path.read_bytes()
        path.write_bytes(data + data)

    yield "empty", lambda path: path.write_bytes(b"")
    yield "no samples", write([])
    yield "no pictures", write(["a.json"])
    yield "foreign members", write(["readme.txt"])
    yield "keys with capitals", write(["A B.json"])
    yield "a member that climbs", write(["../../etc/passwd.json", "../../x.exe"])
    yield "the same member twice", write(["a.json", "a.json", "a.target.jpg"])
    yield "two archives in one", twice
    yield "a sparse member", sparse_tar
    yield "cut in the middle", lambda path: path.write_bytes(path.read_bytes()[:700])
    yield "without its end", lambda path: path.write_bytes(path.read_bytes()[:-8192])
    yield "zeros", lambda path: path.write_bytes(bytes(10240))
    yield "a web page", lambda path: path.write_bytes(b"<html>" * 400)
    yield "gzip", lambda path: path.write_bytes(b"\x1f\x8b" + os.urandom(1000))


TARS = dict(tars())


@pytest.mark.parametrize("name", TARS)
def test_shards(name: str, tmp_path: Path) -> None:
    shard_folder(tmp_path)
    path = tmp_path / "copy" / "train-000000.tar"
    path.with_suffix(".json").unlink()
    TARS[name](path)
    with pytest.raises(DataError, match=r"train-"):
        ShardSet.open(tmp_path, "copy", "train")


def test_there_are_enough_of_them() -> None:
    """The issue asks for three hundred at least; those with tests of their own beside the code are not counted."""
    tables = (TRAIN, GENERATE, EVALUATE, HEADERS, TENSORS, BYTES, BYTES, PICTURES, TARS, YAML)
    assert sum(map(len, tables)) + 6 * len(DAMAGE) >= 300

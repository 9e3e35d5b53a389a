"""A cache made in this process by the real code, on the miniature base, and read by the training data set."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import webdataset

from ipai.backbones.backbone import Backbone
from ipai.backbones.families import load_base
from ipai.caching.identity import identity_of
from ipai.caching.plan import plan_cache
from ipai.data.bucket_sizes import BucketConfig
from ipai.data.cache import IMAGE_TOKENS, LATENTS, CachedArrays, null_tokens
from ipai.data.collate import held
from ipai.data.images import ImageError
from ipai.data.shards import ShardSet
from ipai.errors import ConfigError, DataError
from ipai.files import sha256_of
from ipai.training.assemble import assemble
from ipai.training.loop import Parts
from ipai.training.run import make_accelerator
from tests.helpers.caching import configure, make_cache
from tests.helpers.composing import compose
from tests.helpers.shard_writer import sample, write_shapes, write_shard, write_shards

TASKS = ("copy", "style")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of two tasks with their cache."""
    folder = tmp_path_factory.mktemp("cached")
    for task in TASKS:
        write_shards(folder, task, 8, size=80)
        write_shards(folder, task, 2, split="val", size=80)
    make_cache(folder)
    return folder


@pytest.fixture
def root(original: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return shutil.copytree(original, tmp_path / "shards")


@pytest.fixture(scope="module")
def base() -> Backbone:
    return load_base(compose("experiment=joint", "base=micro", "data.root=x").base, "cpu")


def assembled(root: Path, run: Path, *overrides: str) -> Parts:
    config = compose(
        "experiment=joint", "recipe=smoke", "base=micro", "tasks=[copy,style]", f"data.root={root}", f"run={run}",
        "train.batch_size=8", "train.steps=2", "validation.images=0", "logger=none", *overrides,
    )  # fmt: skip
    return assemble(config, make_accelerator(config))


def opened(root: Path, *overrides: str, task: str = "style", kind: str = LATENTS) -> CachedArrays:
    config = configure(root, *overrides)
    identity = identity_of(kind, config.base, config.data.buckets)
    return CachedArrays.open(config.data.cache_root, ShardSet.open(root, task, "train"), identity)


def hashes(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): sha256_of(path) for path in folder.rglob("*.*") if path.is_file()}


def test_cached_and_online_agree_in_every_moment(original: Path, tmp_path: Path, base: Backbone) -> None:
    """fp16 keeps eleven bits: the arrays agree to 1e-3 of their size, and the drawn latents in mean and variance."""
    batch = next(assembled(original, tmp_path).micro_batches(0))
    cached = next(assembled(original, tmp_path, "data.latents=cache").micro_batches(0))
    assert cached.keys == batch.keys
    assert cached.target is None
    online = base.target_moments(held(batch.target))
    torch.testing.assert_close(held(cached.moments).float(), online, rtol=1e-3, atol=1e-3)
    drawn = [base.sample_latents(moments, batch.posterior_noise) for moments in (online, held(cached.moments))]
    assert drawn[1].mean() == pytest.approx(drawn[0].mean().item(), abs=1e-4)
    assert drawn[1].var() == pytest.approx(drawn[0].var().item(), rel=1e-3)


def test_the_posterior_is_sampled_anew_from_the_cache(original: Path, base: Backbone) -> None:
    """Moments, not latents: many draws have the posterior's own mean and variance."""
    moments = opened(original).read(0).float()[None]
    mean, log_variance = moments.chunk(2, dim=1)
    noise = torch.randn(4000, *mean.shape[1:], generator=torch.Generator().manual_seed(0))
    draws = base.sample_latents(moments.expand(4000, -1, -1, -1), noise) / base.latent_scale
    std = (log_variance / 2).exp()
    assert ((draws.mean(0) - mean[0]).abs() < 5 * std[0] / 4000**0.5).all()
    torch.testing.assert_close(draws.var(0), log_variance[0].exp(), rtol=0.15, atol=0)


@pytest.mark.slow
def test_the_loss_from_the_cache_is_the_loss(original: Path, tmp_path: Path) -> None:
    sources = [(), ("data.latents=cache",), ("data.latents=cache", "data.image_tokens=cache")]
    errors = []
    for overrides in sources:
        parts = assembled(original, tmp_path, *overrides)
        errors.append(parts.step.error(next(parts.micro_batches(0))).detach())
    torch.testing.assert_close(errors[1], errors[0], rtol=1e-2, atol=1e-3)
    torch.testing.assert_close(errors[2], errors[0], rtol=1e-2, atol=1e-3)


def test_what_is_cached_is_neither_decoded_nor_loaded(original: Path, tmp_path: Path) -> None:
    parts = assembled(original, tmp_path, "data.latents=cache", "data.image_tokens=cache")
    batch = next(parts.micro_batches(0))
    assert batch.target is None
    assert batch.condition is None
    for name in ("vae", "image_encoder"):
        with pytest.raises(Exception, match=f"the {name} of the base .* was not loaded"):
            getattr(parts.step.base, name)
    assert set(parts.validator.losses(torch.device("cpu"))) >= {"validation/loss/copy", "validation/loss/style"}


def test_a_dropped_image_is_the_same_null_from_the_cache(original: Path, base: Backbone) -> None:
    config = configure(original)
    cached = null_tokens(config.data.cache_root, identity_of(IMAGE_TOKENS, config.base, config.data.buckets))
    torch.testing.assert_close(cached.float(), base.null_condition(), rtol=1e-3, atol=1e-3)


def test_webdataset_reads_the_cache(original: Path) -> None:
    path = original / "cache" / LATENTS / "style" / "train-000000.tar"
    samples = list(webdataset.WebDataset(str(path), shardshuffle=False).decode())
    shards = ShardSet.open(original, "style", "train")
    assert [one["__key__"] for one in samples] == [shards.key(index) for index in shards.indices_in(0)]
    assert samples[0]["latents.npy"].shape == (8, 8, 8)


def remove_one(root: Path) -> None:
    (root / "cache" / LATENTS / "style" / "train-000000.tar").unlink()


def remove_sidecar(root: Path) -> None:
    (root / "cache" / LATENTS / "style" / "train-000000.json").unlink()


def spoil_sidecar(root: Path) -> None:
    (root / "cache" / LATENTS / "style" / "train-000000.json").write_text("{")


def shorten(root: Path) -> None:
    path = root / "cache" / LATENTS / "style" / "train-000000.tar"
    path.write_bytes(path.read_bytes()[:-512])


def rebuild_source(root: Path) -> None:
    """The same keys, other pictures."""
    for path in (root / "style").glob("train-000000.*"):
        path.unlink()
    shards = ShardSet.open(root.parent / "other", "style", "train")
    shutil.copy(shards.files[0], root / "style" / "train-000000.tar")


def lose_a_sample(root: Path) -> None:
    path = root / "cache" / LATENTS / "style" / "train-000000.json"
    known = json.loads(path.read_text())
    known["places"].popitem()
    path.write_text(json.dumps(known))


SPOILED: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing shard": (remove_one, "is missing or not as long"),
    "missing sidecar": (remove_sidecar, "there is no latents cache"),
    "damaged sidecar": (spoil_sidecar, "is damaged"),
    "cut off": (shorten, "not as long as its sidecar says"),
    "stale": (rebuild_source, "is stale"),
    "incomplete": (lose_a_sample, "lacks sample"),
}


@pytest.mark.parametrize(("spoil", "message"), SPOILED.values(), ids=SPOILED)
def test_a_cache_that_does_not_fit_is_refused_with_the_mend(
    root: Path, spoil: Callable[[Path], None], message: str
) -> None:
    write_shards(root.parent / "other", "style", 8, size=96)
    spoil(root)
    with pytest.raises(DataError, match=message) as refusal:
        opened(root)
    assert "scripts/cache_latents.py" in str(refusal.value)
    assert "data.latents=online" in str(refusal.value)


FOREIGN = {
    "+base.vae.revision=abc": "revision: None -> abc",
    "base.vae.id=builtin:toy": r"id: builtin:micro -> builtin:toy\n  weights: \w+ -> \w+",
    "base.resolution=128": "pixels: 64 -> 128",
}


@pytest.mark.parametrize(("override", "difference"), FOREIGN.items())
def test_a_cache_of_another_vae_or_size_is_refused(original: Path, override: str, difference: str) -> None:
    with pytest.raises(DataError, match=rf"another configuration \(cached -> wanted\):\n  {difference}"):
        opened(original, override)


def test_a_run_refuses_tokens_of_another_encoder(original: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="revision: None -> abc"):
        assembled(original, tmp_path, "data.image_tokens=cache", "+base.image_encoder.revision=abc")


def test_a_started_cache_is_finished_to_the_same_bytes(root: Path) -> None:
    """As after `kill -9`: some shards are whole, one has no sidecar yet, one lies half-written beside its place."""
    cache = root / "cache"
    whole = hashes(cache)
    (cache / LATENTS / "copy" / "train-000001.tar").unlink()
    (cache / LATENTS / "copy" / "train-000001.json").unlink()
    (cache / IMAGE_TOKENS / "style" / "train-000000.json").unlink()
    kept = cache / LATENTS / "style" / "train-000000.tar"
    before = kept.stat().st_mtime_ns
    plan = plan_cache(configure(root))
    assert len(plan.todo) == 2
    make_cache(root)
    assert hashes(cache) == whole
    assert kept.stat().st_mtime_ns == before
    assert not plan_cache(configure(root)).todo


def test_a_stale_shard_is_made_anew(root: Path) -> None:
    write_shards(root.parent / "other", "style", 8, size=96)
    rebuild_source(root)
    make_cache(root)
    assert len(opened(root).read(0)) == 8


def test_the_processes_share_every_shard_once(original: Path, tmp_path: Path) -> None:
    plan = plan_cache(configure(original, f"data.cache={tmp_path}"))
    shares = [plan.share(rank, 3) for rank in range(3)]
    assert sorted(work.path for share in shares for work in share) == sorted(work.path for work in plan.works)


def test_a_picture_that_cannot_be_used_is_skipped_as_online(tmp_path: Path) -> None:
    broken = sample("style", 0) | {"target.png": b"not a picture"}
    write_shard(tmp_path / "style" / "train-000000.tar", [broken, *(sample("style", i) for i in range(1, 8))])
    with pytest.raises(DataError, match=r"no shards.*val"):
        make_cache(tmp_path)
    make_cache(tmp_path, "splits=[train]", "image_tokens=false")
    cached = opened(tmp_path)
    with pytest.raises(ImageError, match="not_an_image"):
        cached.read(0)
    assert cached.read(1).shape == (8, 8, 8)


def test_a_shard_of_damage_stops(tmp_path: Path) -> None:
    broken = [sample("style", index) | {"target.png": b"x"} for index in range(3)]
    write_shard(tmp_path / "style" / "train-000000.tar", broken)
    with pytest.raises(DataError, match=r"3 of 3 samples cannot be used.*not_an_image"):
        make_cache(tmp_path, "splits=[train]", "image_tokens=false")


def test_values_that_are_not_finite_are_never_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_shards(tmp_path, "style", 8, shards=1, size=80)
    encode = Backbone.target_moments

    def overflowing(self: Backbone, pixels: torch.Tensor) -> torch.Tensor:
        moments = encode(self, pixels)
        moments[0, 0, 0, 0] = float("inf")
        return moments

    monkeypatch.setattr(Backbone, "target_moments", overflowing)
    with pytest.raises(DataError, match=r"'not_finite'.*base\.dtype=fp32"):
        make_cache(tmp_path, "splits=[train]", "image_tokens=false")


def test_impossible_settings_are_refused_with_the_mend(tmp_path: Path) -> None:
    for overrides, message in (
        (("latents=false", "image_tokens=false"), "leave nothing to compute"),
        (("tasks=[colour]",), "none of copy"),
        (("splits=[test]",), "none of train, val"),
        (("launch=slurm",), r"launch=slurm is for train\.py"),
        (("+data.worker=1",), "did you mean data.workers"),
    ):
        with pytest.raises(ConfigError, match=message):
            configure(tmp_path, *overrides)


def changed(content: bytes, change: str, place: tuple[int, int]) -> bytes:
    offset, _ = place
    return {
        "dtype": content[:offset] + content[offset:].replace(b"'<f2'", b"'<i2'", 1),
        "bit": content[: offset + 300] + bytes([content[offset + 300] ^ 1]) + content[offset + 301 :],
    }[change]


@pytest.mark.parametrize("change", ["dtype", "bit", "places"])
def test_a_cache_that_was_changed_is_found_out(root: Path, change: str) -> None:
    path = next((root / "cache" / LATENTS / "style").glob("train-*.tar"))
    sidecar = path.with_suffix(".json")
    known = json.loads(sidecar.read_text())
    one, other = sorted(known["places"])[:2]
    assert known["sha256"] == sha256_of(path)
    if change == "places":
        known["places"][one], known["places"][other] = known["places"][other], known["places"][one]
        sidecar.write_text(json.dumps(known))
    else:
        path.write_bytes(changed(path.read_bytes(), change, tuple(known["places"][one])))
    shards = ShardSet.open(root, "style", "train")
    index = [shards.key(number) for number in range(len(shards))].index(one)
    if change == "bit":  # only reading the whole tells
        assert opened(root).read(index).dtype == torch.float16
        assert sha256_of(path) != known["sha256"]
        return
    with pytest.raises(DataError, match=rf"does not hold {one}\.latents\.npy as fp16"):
        opened(root).read(index)


def test_verify_reads_the_cache_whole(root: Path, tmp_path: Path) -> None:
    path = next((root / "cache" / LATENTS / "style").glob("train-*.tar"))
    config = compose(
        "experiment=single_style", "recipe=smoke", "base=micro", f"data.root={root}", f"run={tmp_path}/run",
        "data.latents=cache", "logger=none", "validation.images=0", "verify=true",
    )  # fmt: skip
    assert assemble(config, make_accelerator(config)).made_from["latents cache of style, train"]
    path.write_bytes(
        changed(
            path.read_bytes(),
            "bit",
            tuple(next(iter(json.loads(path.with_suffix(".json").read_text())["places"].values()))),
        )
    )
    with pytest.raises(DataError, match=r"is not what train-\d+\.json says"):
        assemble(config, make_accelerator(config))


BUCKETS = ("base.resolution=128", "data.buckets.max_aspect=3", "data.buckets.step=64")


def test_targets_of_other_shapes_are_cached_as_they_are_trained_on(tmp_path: Path) -> None:
    for task in TASKS:
        write_shapes(tmp_path, task, 20)
        write_shapes(tmp_path, task, 2, split="val")
    make_cache(tmp_path, *BUCKETS)
    batch = next(assembled(tmp_path, tmp_path / "run", *BUCKETS).micro_batches(0))
    cached = next(assembled(tmp_path, tmp_path / "run", *BUCKETS, "data.latents=cache").micro_batches(0))
    assert tuple(held(batch.target).shape[2:]) in ((64, 192), (192, 64))
    assert cached.keys == batch.keys
    assert held(cached.moments).shape[2:] == batch.noise.shape[2:]
    base = load_base(compose("experiment=joint", "base=micro", "data.root=x", *BUCKETS[:1]).base, "cpu")
    online = base.target_moments(held(batch.target))
    torch.testing.assert_close(held(cached.moments).float(), online, rtol=1e-3, atol=1e-3)


def test_a_cache_of_squares_is_foreign_to_buckets(tmp_path: Path) -> None:
    root = tmp_path / "shards"
    for task in TASKS:
        write_shapes(root, task, 20)
        write_shapes(root, task, 2, split="val")
    make_cache(root, BUCKETS[0])
    with pytest.raises(DataError, match="crop: centred square, bicubic -> centred, in aspect buckets"):
        assembled(root, tmp_path / "run", *BUCKETS, "data.latents=cache")


def test_steps_that_the_base_cannot_draw_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"multiples of 64; set data\.buckets\.step=64"):
        assembled(root, tmp_path / "run", *BUCKETS[:2], "data.buckets.step=16")
    with pytest.raises(ConfigError, match=r"multiples of 64; set data\.buckets\.step=64"):
        make_cache(root, *BUCKETS[:2], "data.buckets.step=16")


def test_the_encoding_of_a_dropped_image_is_found_beside_a_further_set(original: Path, tmp_path: Path) -> None:
    further = f"+data.sources.mine={{task: style, root: {original}}}"
    parts = assembled(
        tmp_path / "nothing",
        tmp_path / "run",
        "tasks=[style]",
        further,
        "data.image_tokens=cache",
        "validation.samples=0",
    )
    identity = identity_of(IMAGE_TOKENS, parts.step.base.config, BucketConfig())
    assert torch.equal(parts.step.null_condition.half(), null_tokens(original / "cache", identity))

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from ipai.data.buckets import SetBuckets
from ipai.data.collate import Batch, TrainingSample, collate
from ipai.data.config import DataConfig, DropConfig
from ipai.data.dataset import TrainingDataset, ValidationDataset, dropped
from ipai.data.loader import SlotBatches, make_loader
from ipai.data.order import BucketedOrder, SampleOrder
from ipai.data.sample_images import Sizes
from ipai.data.shards import ShardSet
from ipai.errors import DataError
from tests.helpers.shard_writer import encode, noise_image, sample, write_shard, write_shards

SIZES = Sizes(resolution=16, image_size=8, latent_shape=(4, 2, 2))
POOLS = {"copy": ("everything", "all of it"), "object": ("the {object}", "an {object}, please")}
COUNTS = {"copy": 20, "object": 12}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for task, count in COUNTS.items():
        write_shards(folder, task, count)
        write_shards(folder, task, 5, split="val")
    return folder


def training(
    root: Path,
    seed: int = 0,
    drop: DropConfig | None = None,
    tasks: tuple[str, ...] = ("copy", "object"),
) -> TrainingDataset:
    shards = {task: ShardSet.open(root, task, "train") for task in tasks}
    sizes = {task: len(held) for task, held in shards.items()}
    order = SampleOrder(seed, 8, sizes, dict.fromkeys(tasks, 1.0))
    config = DataConfig(str(root), drop=drop or DropConfig())
    return TrainingDataset(shards, order, POOLS, config, seed, SIZES)


def same(left: TrainingSample, right: TrainingSample) -> bool:
    return all(
        torch.equal(value, getattr(right, name)) if isinstance(value, torch.Tensor) else value == getattr(right, name)
        for name, value in vars(left).items()
    )


def test_a_sample_is_a_function_of_seed_step_and_slot(root: Path) -> None:
    first, again, other_seed = training(root), training(root), training(root, seed=1)
    for place in ((0, 0), (3, 7), (10**7, 2)):
        assert same(first[place], again[place])
        assert not torch.equal(first[place].noise, other_seed[place].noise)
    assert not torch.equal(first[0, 0].noise, first[0, 1].noise)


def test_shapes_and_texts(root: Path) -> None:
    data = training(root, drop=DropConfig(0, 0, 0))
    batch = collate([data[0, slot] for slot in range(8)])
    assert batch.target.shape == (8, 3, 16, 16)
    assert batch.condition.shape == (8, 3, 8, 8)
    assert batch.noise.shape == batch.posterior_noise.shape == (8, 4, 2, 2)
    assert batch.target.dtype == torch.uint8
    assert all(prompt.startswith("picture ") for prompt in batch.prompts)
    for task, instruction in zip(batch.tasks, batch.instructions, strict=True):
        assert instruction in (POOLS["copy"] if task == "copy" else ("the zebra", "a zebra, please"))


def test_copys_condition_is_the_target_seen_through_the_same_box(tmp_path: Path) -> None:
    write_shards(tmp_path, "copy", 1, shards=1, size=16)
    one = training(tmp_path, tasks=("copy",))[0, 0]
    small = one.target.float().reshape(3, 8, 2, 8, 2).mean((2, 4))
    assert np.corrcoef(small.flatten(), one.condition.float().flatten())[0, 1] > 0.8


def test_drop_shares_are_the_papers() -> None:
    """5 % text, 5 % image, 5 % both (paper section 4, by inheritance); the instruction goes with the image."""
    cases = [dropped(DropConfig(), (index + 0.5) / 1000) for index in range(1000)]
    assert Counter(cases) == {
        (False, False, False): 850,
        (True, False, False): 50,
        (False, True, True): 50,
        (True, True, True): 50,
    }
    assert dropped(DropConfig(instruction_with_image=False), 0.06) == (False, True, False)


def test_drops_happen_in_samples_at_their_rates(root: Path) -> None:
    data = training(root)
    samples = [data[step, slot] for step in range(150) for slot in range(8)]
    assert 0.06 < np.mean([not one.prompt for one in samples]) < 0.14
    assert 0.06 < np.mean([one.drop_image for one in samples]) < 0.14
    assert all(bool(one.instruction) != one.drop_image for one in samples)


def test_switching_drops_off_changes_nothing_else(root: Path) -> None:
    with_drops, without = training(root), training(root, drop=DropConfig(0, 0, 0))
    for slot in range(8):
        a, b = with_drops[5, slot], without[5, slot]
        assert (a.key, a.lots) == (b.key, b.lots)
        assert torch.equal(a.noise, b.noise)
        assert torch.equal(a.target, b.target)


def test_lots_are_uniform(root: Path) -> None:
    data = training(root)
    lots = [data[step, slot].lots[0] for step in range(150) for slot in range(8)]
    assert 0 <= min(lots) < 0.01
    assert 0.99 <= max(lots) < 1
    assert 0.47 < np.mean(lots) < 0.53


def test_a_damaged_image_is_counted_and_replaced_the_same_way_each_time(tmp_path: Path) -> None:
    broken = sample("copy", 0) | {"target.png": b"not a picture"}
    write_shard(tmp_path / "copy" / "train-000000.tar", [broken, *(sample("copy", i) for i in range(1, 8))])
    data = training(tmp_path, tasks=("copy",))
    hit = [data[0, slot] for slot in range(8) if data[0, slot].skipped]
    assert [one.skipped for one in hit] == [(("copy/copy-0000", "not_an_image"),)]
    assert hit[0].key != "copy-0000"
    assert same(hit[0], training(tmp_path, tasks=("copy",))[0, hit[0].slot])
    assert collate(hit).skipped == [("copy/copy-0000", "not_an_image")]


def test_a_task_of_nothing_but_damage_stops(tmp_path: Path) -> None:
    write_shard(tmp_path / "copy" / "train-000000.tar", [sample("copy", 0) | {"target.png": b"x"}])
    with pytest.raises(DataError, match="in a row cannot be used"):
        training(tmp_path, tasks=("copy",))[0, 0]


def test_keys_of_names_what_was_drawn(root: Path) -> None:
    data = training(root)
    assert data.keys_of(2, [0, 5]) == [f"{data[2, slot].task}/{data[2, slot].key}" for slot in (0, 5)]


def validation(root: Path, per_task: int) -> ValidationDataset:
    shards = {task: ShardSet.open(root, task, "val") for task in COUNTS}
    return ValidationDataset(shards, POOLS, DataConfig(str(root)), per_task, SIZES)


def test_validation_is_fixed_and_drops_nothing(root: Path) -> None:
    data, again = validation(root, 4), validation(root, 4)
    assert len(data) == 8
    assert all(same(data[index], again[index]) for index in range(8))
    assert not any(data[index].drop_image or not data[index].prompt for index in range(8))
    for task in COUNTS:
        lots = [data[index].lots[0] for index in range(8) if data[index].task == task]
        assert lots == [0.125, 0.375, 0.625, 0.875]


def test_validation_takes_what_there_is_and_knows_the_first_of_each_set(root: Path) -> None:
    data = validation(root, 100)
    assert len(data) == 10
    firsts = [data[index].task for index in data.first_of_each_set(2)]
    assert Counter(firsts) == {"copy": 2, "object": 2}


CUTS = {"1 x 8": (1, 8), "2 x 4": (2, 4), "1 x 4 x 2": (1, 4), "4 x 1 x 2": (4, 1)}


@pytest.mark.parametrize(("processes", "micro"), CUTS.values(), ids=CUTS)
def test_every_cut_of_the_batch_takes_each_slot_once(processes: int, micro: int) -> None:
    cut = [list(SlotBatches(3, 5, 8, micro, rank, processes)) for rank in range(processes)]
    for rank in range(processes):
        assert len(SlotBatches(3, 5, 8, micro, rank, processes)) == len(cut[rank])
        assert all(len({step for step, _ in batch}) == 1 for batch in cut[rank])
    places = [place for batches in cut for batch in batches for place in batch]
    assert sorted(places) == [(step, slot) for step in (3, 4) for slot in range(8)]


@pytest.mark.parametrize(("processes", "micro"), CUTS.values(), ids=CUTS)
def test_every_cut_sees_the_same_batch_noise_and_lots(root: Path, processes: int, micro: int) -> None:
    data = training(root)
    expected = collate([data[3, slot] for slot in range(8)])
    parts = [
        batch
        for rank in range(processes)
        for batch in make_loader(data, SlotBatches(3, 4, 8, micro, rank, processes), 0, 1, pin_memory=False)
    ]
    assert_same_batch(parts, expected)


def assert_same_batch(parts: list[Batch], expected: Batch) -> None:
    slots = torch.cat([part.slots for part in parts])
    places = slots.argsort()
    for name in ("target", "condition", "noise", "posterior_noise", "lots", "task_index", "drop_image"):
        assert torch.equal(torch.cat([getattr(part, name) for part in parts])[places], getattr(expected, name))
    texts = [text for part in parts for text in zip(part.prompts, part.instructions, part.keys, strict=True)]
    ordered = [texts[int(place)] for place in places]
    assert ordered == list(zip(expected.prompts, expected.instructions, expected.keys, strict=True))


def test_worker_processes_change_nothing(root: Path) -> None:
    data = training(root)
    plain, spread = (
        list(make_loader(data, SlotBatches(0, 4, 8, 8, 0, 1), workers, 2, pin_memory=False)) for workers in (0, 2)
    )
    assert len(plain) == len(spread) == 4
    for left, right in zip(plain, spread, strict=True):
        assert_same_batch([right], left)


def test_the_unconditional_side_of_guidance_drops_all(root: Path) -> None:
    batch = collate([training(root)[0, slot] for slot in range(3)]).without_condition()
    assert batch.prompts == batch.instructions == ["", "", ""]
    assert batch.drop_image.all()


def test_a_damaged_picture_is_replaced_by_one_of_its_size(tmp_path: Path) -> None:
    samples = [sample("copy", number, 64) for number in range(4)]
    samples += [sample("copy", number) | {"target.png": encode(noise_image(number, 48, 80))} for number in range(4, 8)]
    samples[5]["target.png"] = samples[5]["target.png"][:200]  # its header is whole
    write_shard(tmp_path / "copy" / "train-000000.tar", samples)
    shards = {"copy": ShardSet.open(tmp_path, "copy", "train")}
    buckets = {"copy": SetBuckets.of(shards["copy"], ((64, 64), (48, 80)))}
    sizes = Sizes(resolution=64, image_size=8, latent_shape=(4, 8, 8), buckets=buckets)
    order = BucketedOrder(0, 8, {"copy": buckets["copy"].members(1)}, {"copy": 1.0}, {})
    data = TrainingDataset(shards, order, POOLS, DataConfig(str(tmp_path)), 0, sizes)
    steps = [[data[step, slot] for slot in range(8)] for step in range(4)]
    replacements = [one.key for step in steps for one in step if one.skipped]
    assert len(replacements) > 2
    assert set(replacements) <= {"copy-0004", "copy-0006", "copy-0007"}
    for samples_of_step in steps:
        batch = collate(samples_of_step)
        assert tuple(batch.target.shape[2:]) in ((64, 64), (48, 80))
        assert batch.noise.shape[2:] == batch.posterior_noise.shape[2:] == tuple(n // 8 for n in batch.target.shape[2:])

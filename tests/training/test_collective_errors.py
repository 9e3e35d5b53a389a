"""What fails in one process ends all of them at the same call."""

import multiprocessing
import socket
from pathlib import Path

import pytest
import torch

from ipai.errors import StoreError
from ipai.training.collective_errors import CollectiveErrors


def _rank(rank: int, port: int, folder: Path) -> None:
    torch.distributed.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    together, done = CollectiveErrors(remote=True, patience_s=1), 0

    def fetch() -> int:
        if rank == 1 and done == 2:
            raise StoreError("the bucket is gone")
        return done + 1

    try:
        while True:
            done = together(fetch)
    except StoreError as error:
        (folder / str(rank)).write_text(f"{done} {error}")


@pytest.mark.faults
def test_a_store_that_one_process_lost_stops_both_there(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ranks = [
        multiprocessing.get_context("spawn").Process(target=_rank, args=(rank, port, tmp_path)) for rank in range(2)
    ]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join(90)
        process.kill()
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["2 the bucket is gone"] * 2


def test_local_shards_go_straight_through() -> None:
    assert CollectiveErrors(remote=False, patience_s=1)(lambda: 7) == 7

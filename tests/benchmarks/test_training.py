"""What a row of the training benchmark counts."""

from pathlib import Path

from benchmarks.options import Options
from benchmarks.timing import Times
from benchmarks.training import DRAWS, _row


def test_a_sample_that_is_learned_from_twice_counts_twice() -> None:
    options = Options(quick=True, work=Path("unused"), rounds=1, repeats=1, batch_size=2)
    times = Times(wall_s=[2.0], cpu_s=[3.0], first_s=[2.0])
    one = _row("ours, nothing cached", times, times, options, 0.1)
    for name, draws in DRAWS.items():
        row = _row(name, times, times, options, 0.1)
        for column in ("samples/s", "times the reference", "by processor time", "MFU"):
            assert row[column] == draws * one[column]

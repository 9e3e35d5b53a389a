from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.options import Options
from benchmarks.timing import Times, Work, take_turns


def options(only: tuple[str, ...] = ()) -> Options:
    return Options(quick=True, work=Path("unused"), rounds=2, repeats=3, batch_size=2, only=only)


def test_the_contestants_take_turns_and_the_first_repetition_is_not_measured() -> None:
    made: list[str] = []
    done: list[None] = []

    def contestant(name: str) -> Work:
        return lambda: made.append(name)

    @contextmanager
    def first() -> Iterator[Work]:
        yield contestant("first")

    @contextmanager
    def second() -> Iterator[Work]:
        yield contestant("second")

    times = take_turns({"first": first, "second": second}, options(), lambda: done.append(None))
    order = [made[index] for index in range(0, len(made), 4)]
    assert order == ["first", "second", "second", "first"]
    assert len(done) == len(made) == 16
    assert [len(times[name].wall_s) for name in times] == [6, 6]
    assert [len(times[name].first_s) for name in times] == [2, 2]
    assert all(taken.peak_gib > 0 for taken in times.values())


def test_the_medians_are_those_of_all_rounds() -> None:
    times = Times()
    for wall, cpu in ((3.0, 1.0), (1.0, 1.5), (9.0, 2.0)):
        times.add(wall, cpu)
    assert (times.wall, times.cpu) == (3.0, 1.5)


def test_the_first_contestant_is_always_measured() -> None:
    assert options(only=("b",)).chosen(["a", "b", "c"]) == ["a", "b"]
    assert options().chosen(["a", "b"]) == ["a", "b"]

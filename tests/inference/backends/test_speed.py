from types import SimpleNamespace

import pytest

from napari_deepmtj.inference.backends import speed as backends_speed
from napari_deepmtj.inference.backends.speed import (
    Way,
    cores,
    fastest,
    known,
    rates,
    settled,
    thread_counts,
)


class Clock:
    """A clock that only what is computed moves; `others` is how much longer it takes than work."""

    def __init__(self):
        self.wall = self.used = 0.0
        self.others = 1.0

    def work(self, seconds):
        self.used += seconds
        self.wall += seconds * self.others


@pytest.fixture
def clock(monkeypatch, tmp_path):
    clock = Clock()
    fake = SimpleNamespace(perf_counter=lambda: clock.wall, process_time=lambda: clock.used)
    monkeypatch.setattr(backends_speed, "time", fake)
    monkeypatch.setattr(backends_speed, "_SETTLED", {})
    monkeypatch.setenv("NAPARI_DEEPMTJ_CACHE", str(tmp_path))
    return clock


def machine(clock, cost):
    """Return `prepare` for pictures that take `cost(threads, batch)` seconds each, and its ways."""
    tried = []

    def prepare(threads, batch):
        tried.append((threads, batch))

        def compute():
            clock.work(cost(threads, batch) * batch)
            return batch

        return compute

    return prepare, tried


def slower(threads, batch):
    """A little the slower, the more pictures and the fewer threads."""
    return (0.9 + 0.1 * batch) * (1.4 - 0.1 * threads)


@pytest.mark.parametrize(
    ("cost", "best"),
    [
        (lambda threads, batch: 2e-3 * slower(threads, batch), Way(2, 1)),
        (lambda threads, batch: 1e-9 if batch == 4 else 2e-3 * slower(threads, batch), Way(2, 1)),
        (lambda threads, batch: 1e-3 / (threads * (batch if batch < 8 else 3)), Way(2, 4)),
        (lambda threads, batch: 1e-3 * threads * batch, Way(1, 1)),
    ],
    ids=["more threads", "no look beyond what is worse", "more pictures", "one thread"],
)
def test_the_fastest_way_is_climbed_to(clock, cost, best):
    prepare, _ = machine(clock, cost)
    assert fastest(prepare, (2, 1)) == best


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(3.0, [(4, 1)]), (0.3, [(4, 1), (4, 2)]), (0.15, [(4, 1), (4, 2), (2, 1), (2, 2)])],
)
def test_a_slow_network_is_not_tried_in_every_way(clock, seconds, expected):
    prepare, tried = machine(clock, lambda *way: seconds * slower(*way))
    assert fastest(prepare, thread_counts(4)) == Way(4, 1)
    assert tried == expected
    assert clock.wall <= max(2 * seconds, 1.3 * backends_speed.BUDGET_S)


def test_rates_are_those_of_the_least_disturbed_run(clock):
    delays = iter([9.0, 5.0, 0.5, 2.0])  # the first one does not count

    def compute():
        clock.work(next(delays))
        return 4

    assert rates({"a": compute}, seconds=6.0) == {"a": 8.0}


def test_each_of_several_is_timed_by_turns_at_least_once(clock):
    order = []

    def computing(name):
        def compute():
            order.append(name)
            clock.work(10.0)
            return 10

        return compute

    assert rates({"a": computing("a"), "b": computing("b")}, 0.1) == {"a": 1.0, "b": 1.0}
    assert order == ["a", "b", "a", "b"]


WHAT = {"name": "torch", "network": "compact"}


def measuring(clock, result, seconds=1.0):
    def measure():
        clock.work(seconds)
        return {"fastest": result}

    return measure


def test_what_was_settled_is_kept_for_the_machine(clock, monkeypatch):
    assert known(WHAT, 2) is None
    assert settled(WHAT, 2, measuring(clock, "a")) == {"fastest": "a"}
    backends_speed._SETTLED.clear()  # another program
    assert settled(WHAT, 2, lambda: pytest.fail("measured again")) == {"fastest": "a"}
    assert known(WHAT, 1) is None  # other threads
    monkeypatch.setattr(backends_speed, "processor", lambda: "another one")
    assert known(WHAT, 2) is None


def test_what_was_measured_on_a_busy_machine_holds_for_the_program_only(clock):
    clock.others = 3.0
    settled(WHAT, 2, measuring(clock, "a"))
    assert known(WHAT, 2) == {"fastest": "a"}
    backends_speed._SETTLED.clear()
    assert known(WHAT, 2) is None


def test_threads_are_those_given_to_us(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cores() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert cores() >= 1
    assert thread_counts(1) == (1,)
    assert thread_counts(2) == (2, 1)
    assert thread_counts(16) == (16, 8, 1)

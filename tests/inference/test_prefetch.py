import threading
import time

import pytest

from napari_deepmtj.inference.prefetch import prefetch


def threads():
    return [t for t in threading.enumerate() if t.name == "ahead"]


def test_items_come_in_order_from_another_thread():
    seen = set()

    def items():
        for i in range(50):
            seen.add(threading.current_thread().name)
            yield i

    assert list(prefetch(items(), 3, "ahead")) == list(range(50))
    assert seen == {"ahead"}
    assert not threads()


def test_it_is_never_further_ahead_than_allowed():
    made = []

    def items():
        for i in range(20):
            made.append(i)
            yield i

    ahead = prefetch(items(), 4, "ahead")
    assert next(ahead) == 0
    deadline = time.monotonic() + 10
    while len(made) < 6 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    assert len(made) == 6  # one taken, four waiting, one in hand
    ahead.close()


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        yield 2
        raise LookupError("torn")

    ahead = prefetch(items(), 1, "ahead")
    assert [next(ahead), next(ahead)] == [1, 2]
    with pytest.raises(LookupError, match="torn"):
        next(ahead)
    assert not threads()


def test_closing_stops_a_full_queue_promptly_and_closes_the_source_in_its_thread():
    closed_in = []

    def items():
        try:
            while True:
                yield 0
        finally:
            closed_in.append(threading.current_thread().name)

    ahead = prefetch(items(), 2, "ahead")
    next(ahead)
    began = time.perf_counter()
    ahead.close()
    assert time.perf_counter() - began < 2
    assert closed_in == ["ahead"]
    assert not threads()


def test_forgetting_it_stops_the_thread_too():
    ahead = prefetch(iter(range(100)), 2, "ahead")
    next(ahead)
    assert threads()
    del ahead
    assert not threads()


def test_an_error_while_closing_is_not_lost():
    class Items:
        def __init__(self):
            self.left = 2

        def __iter__(self):
            return self

        def __next__(self):
            self.left -= 1
            if self.left < 0:
                raise StopIteration
            return self.left

        def close(self):
            raise OSError("disk gone")

    with pytest.raises(OSError, match="disk gone"):
        list(prefetch(Items(), 2, "ahead"))

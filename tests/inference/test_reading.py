import pytest

from napari_deepmtj.inference.reading import even, tapered


@pytest.mark.parametrize("sizes", [even, tapered])
@pytest.mark.parametrize("most", [1, 2, 3, 7, 16, 64])
def test_batches_add_up_and_are_never_larger_than_asked_for(sizes, most):
    for total in (*range(1, 80), 200, 1001):
        made = list(sizes(total, most))
        assert sum(made) == total
        assert min(made) >= 1
        assert max(made) <= most
        assert made[0] <= 2


def test_batches_for_a_processor_grow_and_shrink():
    assert list(tapered(200, 16)) == [2, 4, 8, *[16] * 10, 12, 4, 4, 3, 2, 1]
    assert list(tapered(3, 16)) == [2, 1]


def test_batches_for_a_device_are_alike():
    assert list(even(200, 64)) == [2, 64, 64, 64, 6]
    assert list(even(1, 64)) == [1]

"""Memory of processes of their own."""

import numpy as np

from espnet_stacodec.evaluation.benchmark.timing import alone, peak_bytes


def test_a_process_of_its_own_does_not_begin_with_the_memory_of_its_parent():
    before = alone(peak_bytes)
    held = np.ones(60_000_000)  # 480 MB
    assert peak_bytes() > before
    assert abs(alone(peak_bytes) - before) < 100e6
    del held


def test_the_peak_is_that_of_the_past():
    before = peak_bytes()
    held = np.ones(before // 8 + 40_000_000)
    size = held.nbytes
    del held
    assert peak_bytes() >= max(before, size)

"""One request at a time, while the page is still answered."""

import asyncio
import time

import pytest


def test_one_at_a_time_and_the_loop_is_free(coders):
    coder = coders["whole"]
    working, most, ticks = 0, 0, 0

    def work(number):
        nonlocal working, most
        working += 1
        most = max(most, working)
        time.sleep(0.05)
        working -= 1
        return number

    async def run():
        nonlocal ticks
        waiting = asyncio.gather(*(coder.run(work, number) for number in range(6)))
        while not waiting.done():
            ticks += 1
            await asyncio.sleep(0.01)
        return await waiting

    assert asyncio.run(run()) == list(range(6))  # in the order in which they came
    assert most == 1 and ticks > 10


def test_errors_reach_who_asked(coders):
    with pytest.raises(ZeroDivisionError):
        asyncio.run(coders["whole"].run(lambda: 1 // 0))


def test_what_the_page_is_told(coders):
    facts = {kind: coder.describe() for kind, coder in coders.items()}
    assert facts["streaming"]["streams"] and not facts["whole"]["streams"]
    assert facts["streaming"]["latency_seconds"] == pytest.approx(0.08)
    assert facts["whole"]["bits_per_second"] == [200, 400, 600]
    assert (facts["streaming"]["max_seconds"], facts["whole"]["max_seconds"]) == (300, 60)

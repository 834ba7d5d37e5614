"""The benchmark's table; its timings are not tested."""

import pytest

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.evaluation.benchmark import systems
from espnet_stacodec.evaluation.benchmark.systems import Measurement, format_table


def test_ratios_worked_by_hand():
    results = dict.fromkeys(systems.SYSTEMS, Measurement(3.0, 1.0, 1_500_000, 250_000_000))
    results["ESPnet encodec"] = Measurement(2.0, 4.0, 2_000_000, 10_000_000)
    results["STACodec, SPD"] = Measurement(1.0, 2.0, 2_000_000, 0)
    results["WavLM-large-sized model"] = Measurement(2.0, None, 300_000_000, 0)
    lines = format_table(results).splitlines()
    assert lines[2] == "| ESPnet encodec | 2.00 | 1.00 | 4.00 | 1.00 | 2.0 | 0.01 |"
    assert lines[3] == "| STACodec, tokens given | 3.00 | 1.50 | 1.00 | 0.25 | 1.5 | 0.25 |"
    assert lines[6] == "| WavLM-large-sized model | 2.00 | 1.00 | - | - | 300.0 | 0.00 |"
    # SPD takes 1 s, the SSL model and STA together 2 + 3.
    assert "0.20 of the time of an SSL model and STA together (5.00 s)" in lines[-1]


def test_every_system_runs(monkeypatch):
    """Small here; the command takes the published sizes."""
    small = {"dimension": 8, "n_filters": 4, "lstm_layers": 1}
    monkeypatch.setattr(systems, "WIDTH", systems.WIDTH | small)
    for name in ("ESPnet encodec", "STACodec, no bottleneck"):
        measured = systems._measure(name, 0.1, 1, 1)
        assert measured.encode_seconds and measured.decode_seconds
        assert measured.parameters > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((0.0, 1, 1), r"--seconds 0 is below 0\.1"),
        ((1.0, 0, 1), "--threads 0 is below 1"),
        ((1.0, 1, 0), "--repeats 0 is below 1"),
    ],
)
def test_numbers_that_measure_nothing(options, message):
    with pytest.raises(ConfigError, match=message):
        systems.run_benchmark(*options)

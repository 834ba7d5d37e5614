"""Tables and plot of variants over seeds."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "egs2/TEMPLATE/codec1/local"))

from ablation_measures import Probe
from ablation_tables import estimate, write_tables

PROBES = [
    Probe("intent", "intent", ["a"]),
    Probe("spelling", "text", ["a", "b"], ["b"], spelling=True),
]
RUNS = [
    {
        "variant": name,
        "seed": seed,
        "figures": {"pesq_wb": pesq, "stoi": 0.5, "intent": intent, "spelling": 50.0},
    }
    for name, seed, pesq, intent in (
        *(("sta", 1, 1.1, 90.0), ("plain", 1, 1.2, 20.0)),
        *(("sta", 2, 1.2, 92.0), ("plain", 2, None, 24.0), ("sta", 3, 1.3, 94.0)),
    )
]
REFERENCES = {
    "semantic tokens": {"intent": 95.0, "spelling": 30.0},
    "commonest answer": {"intent": 14.3},
}


def test_means_and_intervals_over_the_seeds():
    found = estimate(RUNS)
    assert list(found) == ["sta", "plain"]
    # Student's t of two degrees of freedom is 4.303: 4.303 * 2 / sqrt(3) is 4.968.
    assert found["sta"]["intent"].value == pytest.approx(92)
    assert found["sta"]["intent"].high == pytest.approx(96.968, abs=1e-3)


def test_tables_have_every_variant_and_reference(tmp_path):
    text = write_tables(tmp_path, RUNS, REFERENCES, PROBES)
    lines = text.splitlines()
    assert "| sta | 1.20 ± 0.25 | 0.500 ± 0.000 |" in lines
    assert "| plain | 1.20 | 0.500 ± 0.000 |" in lines  # one seed has no PESQ
    assert "| sta | - | - | 92.0 ± 5.0 | 50.0 ± 0.0 |" in lines
    assert "| semantic tokens | - | - | 95.0 | 30.0 |" in lines
    assert "| commonest answer | - | - | 14.3 | - |" in lines
    assert "Seeds: 1, 2, 3." in text and "intent (% right) | spelling (% wrong)" in text
    assert (tmp_path / "ABLATIONS.md").read_text() == text
    content = json.loads((tmp_path / "ablations.json").read_text())
    assert content == {"runs": RUNS, "references": REFERENCES}
    assert (tmp_path / "ablations.png").read_bytes().startswith(b"\x89PNG")
    assert not (tmp_path / "latency.png").exists()


def test_codecs_that_stream_have_a_latency_and_a_plot(tmp_path):
    later: dict[str, dict[str, float]] = {
        "not causal": {},
        "lookahead 1": {"latency_ms": 40.0},
        "lookahead 0": {"latency_ms": 20.0},
    }
    runs = [
        {
            "variant": name,
            "seed": 1,
            "figures": {"stoi": 0.5, "tokens_right": 30.0, "intent": 50.0} | latency,
        }
        for name, latency in later.items()
    ]
    lines = write_tables(tmp_path, runs, {}, PROBES[:1]).splitlines()
    assert "| variant | latency (ms) | STOI |" in lines
    assert "| not causal | the whole | 0.500 |" in lines
    assert "| lookahead 1 | 40 | 0.500 |" in lines
    assert (tmp_path / "latency.png").read_bytes().startswith(b"\x89PNG")


def test_without_probes_there_is_no_plot(tmp_path):
    runs = [{"variant": "sta", "seed": 1, "figures": {"stoi": 0.5, "token_information": 100.0}}]
    text = write_tables(tmp_path, runs, {}, [])
    assert "| sta | 0.500 |" in text and "| sta | 100.0 | - |" in text
    assert not (tmp_path / "ablations.png").exists()

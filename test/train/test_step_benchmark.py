"""Training steps are compared; their times are not tested."""

from espnet_stacodec.evaluation.benchmark import systems
from espnet_stacodec.train import step_benchmark


def test_a_step_of_each(monkeypatch):
    for name, value in {"dimension": 8, "n_filters": 4, "lstm_layers": 1}.items():
        monkeypatch.setitem(systems.WIDTH, name, value)
    monkeypatch.setattr(step_benchmark, "CHUNK_SECONDS", 1)
    monkeypatch.setattr(step_benchmark, "UTTERANCES", 3)
    small = {"filters": 2, "n_ffts": [256], "hop_lengths": [64], "win_lengths": [256]}
    monkeypatch.setattr(step_benchmark, "DISCRIMINATOR", small)
    bottleneck = {"hidden": 8, "layers": 1, "heads": 2, "feed_forward": 12}
    ours = step_benchmark._ours

    def narrow(**params):
        return ours(**params | ({"bottleneck": bottleneck} if "bottleneck" in params else {}))

    monkeypatch.setattr(step_benchmark, "_ours", narrow)
    monkeypatch.setattr(step_benchmark, "has_bfloat16", lambda: True)
    table = step_benchmark.compare(1, 1, 1)
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert [row.split("|")[1].strip() for row in rows[1:6]] == [
        "ESPnet encodec",
        "STA without bottleneck",
        "the same without adversary",
        "STA",
        "STA in bfloat16",
    ]
    assert float(rows[-1].strip("| ")) > 0

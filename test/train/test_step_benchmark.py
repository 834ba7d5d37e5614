"""Training steps are compared; their times are not tested."""

from pathlib import Path

from espnet_stacodec.config import load_yaml
from espnet_stacodec.evaluation.benchmark import systems
from espnet_stacodec.train import step_benchmark


def test_a_step_of_each(monkeypatch):
    for name, value in {"dimension": 8, "n_filters": 4, "lstm_layers": 1}.items():
        monkeypatch.setitem(systems.WIDTH, name, value)
    monkeypatch.setattr(step_benchmark, "CHUNK_SECONDS", 1)
    monkeypatch.setattr(step_benchmark, "UTTERANCES", 3)
    sizes = {
        "with": step_benchmark.Size({}, 2, (256,), has_bottleneck=True),
        "without": step_benchmark.Size({"n_filters": 2}, 2, (256,), has_bottleneck=False),
    }
    monkeypatch.setattr(step_benchmark, "SIZES", sizes)
    bottleneck = {"hidden": 8, "layers": 1, "heads": 2, "feed_forward": 12}
    ours = step_benchmark._ours

    def narrow(size, **params):
        return ours(size, **params | ({"bottleneck": bottleneck} if "bottleneck" in params else {}))

    monkeypatch.setattr(step_benchmark, "_ours", narrow)
    monkeypatch.setattr(step_benchmark, "has_bfloat16", lambda: True)
    table = step_benchmark.compare(1, 1, 1)
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows]
    of_all = ["ESPnet encodec", "STA without bottleneck", "the same without adversary"]
    assert [(size, step) for size, step, *_ in cells[1:9]] == [
        *(("with", step) for step in (*of_all, "STA", "STA in bfloat16")),
        *(("without", step) for step in of_all),
    ]
    loading = cells[-2:]
    assert [row[0] for row in loading] == ["as it is", "with copies of the speeds 0.9 and 1.1"]
    assert all(float(row[1]) > 0 for row in loading)


def test_the_small_size_is_that_of_the_configuration():
    conf = Path(__file__).parents[2] / "egs2/TEMPLATE/codec1/conf/train_small.yaml"
    params = load_yaml(conf)["codec_conf"]
    small = step_benchmark.SIZES["small"]
    assert small.width.items() <= params["generator_params"].items()
    assert small.discriminator == params["discriminator_params"]

"""Every part of the benchmark runs, with small networks; its timings are not tested."""

from pathlib import Path

import pytest
import torch
from torch import nn

from espnet_stacodec.config import load_yaml
from espnet_stacodec.errors import ConfigError, STACodecError
from espnet_stacodec.evaluation.benchmark import (
    coding,
    files,
    operations,
    pipes,
    streaming,
    systems,
    timing,
    tokens,
)

SMALL = {"dimension": 8, "n_filters": 4, "lstm_layers": 1}
TRANSFORMER = {"hidden": 8, "layers": 1, "heads": 2, "feed_forward": 12}


@pytest.fixture
def small(monkeypatch):
    for name, value in SMALL.items():
        monkeypatch.setitem(systems.WIDTH, name, value)
    monkeypatch.setattr(timing, "MATRIX_SIZE", 64)


def columns(table: str, heading: str) -> list[str]:
    """Return the column of a Markdown table that has this heading."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    head = next(i for i, row in enumerate(rows) if heading in row)
    place = rows[head].index(heading)
    body = []
    for row in rows[head + 2 :]:
        if len(row) != len(rows[head]):
            break
        body.append(row[place])
    return body


def test_ways_take_turns_and_the_shortest_time_counts(monkeypatch):
    order: list[str] = []
    clock = iter([0.0, 5.0, 5.0, 6.0, 6.0, 8.0, 8.0, 12.0])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    ways = {name: lambda name=name: order.append(name) for name in "ab"}
    assert timing.side_by_side(ways, 2) == {"a": 2.0, "b": 1.0}
    assert order == ["a", "b"] * 3  # the first of each warms up


def test_operations_counted_by_hand():
    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(2, 3, 5, stride=2)
            self.up = nn.ConvTranspose1d(3, 2, 4, stride=2)
            self.lstm = nn.LSTM(2, 4, bidirectional=True, batch_first=True)
            self.layer = nn.TransformerEncoderLayer(8, 2, 6, batch_first=True)
            self.linear = nn.Linear(8, 7)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y, _ = self.lstm(self.up(self.conv(x)).transpose(1, 2))
            return self.linear(self.layer(y))

    network = Network().eval()
    found = operations.count(network, lambda: network(torch.zeros(1, 2, 21)))  # 9, then 20 frames
    assert found.by_kind["convolutions"] == 2 * 2 * 3 * 5 * 9 + 2 * 3 * 2 * 4 * 9
    assert found.by_kind["LSTM"] == 2 * 2 * (4 * 4 * (2 + 4)) * 20
    matrices = 3 * 8 * 8 + 8 * 8 + 2 * 8 * 6
    assert found.by_kind["transformer"] == 2 * matrices * 20 + 4 * 20**2 * 8
    assert found.by_kind["other"] == 2 * 8 * 7 * 20
    assert found.total == sum(found.by_kind.values())


@pytest.mark.parametrize("has", [False, True])
def test_coding(small, monkeypatch, has):
    spd = {"bottleneck": TRANSFORMER, "predistillation": {"transformer": TRANSFORMER}}
    monkeypatch.setattr(coding, "CODECS", {"SPD": spd})
    monkeypatch.setattr(coding, "FILES", 2)
    monkeypatch.setattr(coding, "has_bfloat16", lambda: has)
    table = coding.compare(0.2, 1, 1)
    low = 2 * ["float16"] + (2 * ["bfloat16"] if has else [])
    assert columns(table, "way") == 2 * ["2 files together, each"] + low
    assert 90 < float(columns(table, "equal codes (%)")[0]) <= 100
    assert all(float(ratio) > 0 for ratio in columns(table, "ratio"))


def test_streaming(small, monkeypatch):
    causal = {"bottleneck": TRANSFORMER, "predistillation": {"transformer": TRANSFORMER}}
    monkeypatch.setattr(streaming, "SIZES", {"tiny": causal})
    table = streaming.compare(0.2, 1)
    ways = ["whole", "pieces of 20 ms", "pieces of 80 ms", "8 streams, pieces of 20 ms"]
    assert columns(table, "way") == 4 * ways
    assert columns(table, "precision") == 8 * ["float32"] + 8 * ["float16"]
    assert columns(table, "ratio")[0] == "1.00"
    assert all(float(factor) > 0 for factor in columns(table, "real-time factor"))
    assert "tiny: 0 million parameters; a stream remembers 0." in table
    assert "Of 0.2 s of noise, on one thread" in table
    monkeypatch.setattr(streaming, "LONGEST_SECONDS", 0.1)
    assert "Of 0.1 s of noise" in streaming.compare(10.0, 1)  # what it took, not what was asked for


def test_sound_comes_through_pipes_after_the_latency(streaming_experiment):
    delays = pipes.measure(streaming_experiment, 0.3)
    # Not sooner than its codec can know: a frame and two of lookahead.
    assert delays.shape == (15,) and delays.min() >= 0.06


def test_pipes_of_a_codec_that_cannot_stream(plain_experiment, capfd):
    with pytest.raises(STACodecError, match="the pipe gave the sound of 0 of 65 frames"):
        pipes.measure(plain_experiment, 0.3)
    assert "This codec cannot stream" in capfd.readouterr().err


def test_the_streaming_sizes_are_those_of_the_configuration():
    conf = Path(__file__).parents[3] / "egs2/TEMPLATE/codec1/conf"
    params = load_yaml(conf / "train_spectral_streaming.yaml")["codec_conf"]["generator_params"]
    assert streaming.SIZES["spectral"]["spectral"] == params["spectral"]
    sizes = streaming.SIZES["spectral"]["predistillation"]["convolution"]
    assert sizes == params["predistillation"]["convolution"]
    params = load_yaml(conf / "train_spd_streaming.yaml")["codec_conf"]["generator_params"]
    of_shape = ("hidden", "layers", "heads", "feed_forward", "context_frames")
    assert {name: params[name] for name in systems.WIDTH | {"lstm_layers": 1}} == (
        systems.WIDTH | {"lstm_layers": 1}
    )
    configured = {
        "lstm_layers": params["lstm_layers"],
        "bottleneck": {name: params["bottleneck"][name] for name in of_shape},
        "predistillation": {
            "transformer": {
                name: params["predistillation"]["transformer"][name] for name in of_shape
            }
        },
    }
    assert streaming.SIZES["streaming"] == configured


@pytest.fixture
def small_hubert(monkeypatch):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 32, "num_conv_pos_embedding_groups": 2}
    monkeypatch.setattr(tokens, "SIZES", sizes)
    monkeypatch.setattr(tokens, "LAYER", 1)


@pytest.mark.parametrize("has", [False, True])
def test_tokens(small_hubert, monkeypatch, has):
    monkeypatch.setattr(tokens, "has_bfloat16", lambda: has)
    monkeypatch.setattr(tokens, "UTTERANCE_SECONDS", 1)
    monkeypatch.setattr(tokens, "FRAMES_OF_HOURS", ())
    monkeypatch.setattr(tokens, "PROCESSES", 1)
    table = tokens.compare(2 / 60, 1, 1)
    same = [float(share) for share in columns(table, "equal tokens (%)")]
    assert same[0] == 100
    # Theirs and ours are the same work.
    assert min(same[1:3]) > 98
    ways = columns(table, f"tokens of {2 / 60:g} minutes")
    assert ways[3:] == ["the same in bfloat16"] * has


def test_files(small, small_hubert, monkeypatch):
    monkeypatch.setattr(files, "alone", lambda work, *args: work(*args))  # has the small sizes
    monkeypatch.setattr(files, "UTTERANCE_SECONDS", 1)
    monkeypatch.setattr(files, "WORKERS", (1, 1))
    table = files.compare(0.1)
    assert columns(table, "minutes of audio") == ["1", "0.1", "0.05"]
    assert [float(ratio) > 0 for ratio in columns(table, "ratio")] == [True] * 3


def test_numbers_that_measure_nothing():
    with pytest.raises(ConfigError, match="--only"):
        from espnet_stacodec.bin import stacodec

        args = stacodec.get_parser().parse_args(["benchmark", "--only", "encode,all"])
        args.work(args)

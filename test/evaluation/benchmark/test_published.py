"""The published networks beside ours; here stand-ins, as their code is not ours to keep."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.evaluation.benchmark import published, systems
from espnet_stacodec.evaluation.benchmark.published import Published
from espnet_stacodec.gan_codec.tokens.source import GivenTokens
from espnet_stacodec.pretrained import official_checkpoint
from espnet_stacodec.pretrained.official_checkpoint import PREDICTION, read_checkpoint


@pytest.fixture
def checkout(tmp_path):
    """Return the beginning of a checkout; what was imported of it is forgotten."""
    for name in ("__init__.py", "models/past_model.py", "modules/seanet.py"):
        (tmp_path / "past" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "past" / name).touch()
    yield tmp_path
    for name in [name for name in sys.modules if name.split(".")[0] == "past"]:
        del sys.modules[name]


def test_a_folder_that_is_no_checkout(tmp_path):
    with pytest.raises(ConfigError, match="no past/models/past_model.py; give a checkout of h"):
        published.import_modules(tmp_path)


def test_what_the_published_code_needs_is_not_installed(checkout):
    (checkout / "past" / "modules" / "seanet.py").write_text("import audiocraft_of_no_one\n")
    before = list(sys.path)
    with pytest.raises(ConfigError, match="No module named 'audiocraft_of_no_one'.*docs/api.md"):
        published.import_modules(checkout)
    assert sys.path == before


def test_weights_of_the_published_networks_are_ours(shared):
    path = shared / "parity" / "small_spd_bins1024.th"
    if not path.exists():
        pytest.skip("../shared/parity is not there")
    content = official_checkpoint._load(path)
    weights = content["best_state"]["model"]
    parts = {}
    for prefix in ("encoder.", "decoder.", "quantizer.", PREDICTION):
        own = {n.removeprefix(prefix): v for n, v in weights.items() if n.startswith(prefix)}
        parts[prefix] = SimpleNamespace(state_dict=lambda own=own: own)
    theirs = Published(content["xp.cfg"], parts)
    expected = read_checkpoint(path).state
    found = theirs.generator(with_spd=True).state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert isinstance(theirs.generator(with_spd=False).token_source, GivenTokens)


class Part(nn.Module):
    """What stands for each of the networks; remembers what it was built with."""

    def __init__(self, *args, **kwargs):
        super().__init__()
        self.given = args, kwargs
        self.register_buffer("embed", torch.zeros(2))
        self.register_buffer("cluster_size", torch.zeros(2))


def test_networks_are_built_from_the_checkouts_configuration(tmp_path):
    encodec, solver = tmp_path / "config/model/encodec", tmp_path / "config/solver/auxiliary_tasks"
    for folder in (encodec, solver):
        folder.mkdir(parents=True)
    (encodec / "default.yaml").write_text(
        "seanet: {dimension: 4, lstm: 2, channels: '${channels}', encoder: {}, decoder: {end: 1}}\n"
        "rvq: {bins: 3, kmeans_init: true}\n"
    )
    (encodec / "past_transformer_encoder_1024_8.yaml").write_text(
        "seanet: {lstm: 1, transformer_params: {hidden: 5}}\n"
    )
    (solver / "default.yaml").write_text("token_pred: {transformer_params: {hidden: 6}}\n")
    names = ("SEANetEncoder", "SEANetDecoder", "ResidualVectorQuantizer", "TokenPredictTransformer")
    modules = [SimpleNamespace(**dict.fromkeys(names, Part))] * 3
    parts = published.build(modules, published.read_config(tmp_path)).parts
    sizes = {"dimension": 4, "lstm": 1, "channels": 1}
    assert parts["encoder."].given == ((), sizes | {"transformer_params": {"hidden": 5}})
    assert parts["decoder."].given == ((), sizes | {"end": 1})
    quantizer = parts["quantizer."]
    assert quantizer.given == ((), {"bins": 3, "kmeans_init": False, "dimension": 4})
    assert quantizer.embed.all() and quantizer.cluster_size.all()
    assert parts[PREDICTION].given[0] == ({"hidden": 6}, None)


class Ours:
    """Our own networks in the place of the published ones."""

    def __init__(self):
        transformer = {"hidden": 8, "layers": 1, "heads": 2, "feed_forward": 12}
        spd = {"predistillation": {"transformer": transformer}}
        self.with_spd = {False: systems.build_generator({}), True: systems.build_generator(spd)}

    def generator(self, with_spd):
        return self.with_spd[with_spd]

    def encode(self, audio, tokens):
        return self.with_spd[tokens is None].eval().codes(audio, tokens)[:, 0]

    def decode(self, codes):
        return self.with_spd[False].decode(codes[:, None])


def test_the_table(monkeypatch, tmp_path):
    for name, value in {"dimension": 8, "n_filters": 4, "lstm_layers": 1}.items():
        monkeypatch.setitem(systems.WIDTH, name, value)
    monkeypatch.setattr(published, "import_modules", lambda checkout: [])
    monkeypatch.setattr(published, "read_config", lambda checkout: None)
    monkeypatch.setattr(published, "build", lambda modules, config: Ours())
    rows = published.compare(tmp_path, 0.2, 1, 1).splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("| ").split("|")] for row in rows]
    assert [row[0] for row in cells] == ["encode, tokens given", "encode with SPD", "decode"]
    assert [row[-1] for row in cells] == ["100.00", "100.00", "-"]

"""The table of variants: their configurations, the stages that are run for them, their scores."""

import json
import sys
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import yaml

from espnet_stacodec.downstream.code_dirs import flatten_codes
from espnet_stacodec.errors import ConfigError, STACodecError
from espnet_stacodec.fileio.files import write_text

RECIPES = Path(__file__).parents[2] / "egs2"
sys.path.insert(0, str(RECIPES / "TEMPLATE/codec1/local"))

import ablations  # noqa: E402

SIZES = [4, 8]
TOKENS = {
    "train": {"a": [0, 1, 1], "b": [1, 3]},
    "test": {"c": [1, 0, 2, 2]},
}
CODES = {  # one frame in five of train differs from its token, one in four of test
    "train": {"a": [[0, 1, 1], [5, 5, 5]], "b": [[1, 2], [5, 4]]},
    "test": {"c": [[1, 0, 2, 3], [0, 1, 2, 3]]},
}
SCORES = {"pesq_wb": 1.234, "stoi": 0.5678, "si_sdr": -1.25, "kbps": 0.25}


def write_ark(scp: Path, vectors: dict[str, np.ndarray]) -> None:
    scp.parent.mkdir(parents=True)
    with kaldiio.WriteHelper(f"ark,scp:{scp.with_suffix('.ark')},{scp}") as writer:
        for utt_id, vector in vectors.items():
            writer(utt_id, vector.astype(np.int32))


def write_experiment(folder: Path, assignment: str = "sta") -> None:
    """Write what stages 4 to 7 of a variant leave."""
    config = {
        "codec_conf": {"generator_params": {"assignment": assignment}},
        "semantic_tokenizer": str(folder / "tokens"),
    }
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    write_text(folder / "codes" / "codes.json", json.dumps({"codebook_sizes": SIZES}))
    write_text(folder / "decode" / "results.json", json.dumps({"sets": {"test": SCORES}}))
    for part, tokens in TOKENS.items():
        flat = {utt: flatten_codes(np.array(codes), SIZES) for utt, codes in CODES[part].items()}
        write_ark(folder / "codes" / part / "codes.scp", flat)
        vectors = {utt: np.array(ids) for utt, ids in tokens.items()}
        write_ark(folder / "tokens" / part / "semantic.scp", vectors)


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    """A recipe whose run.sh notes its options, and can fail."""
    monkeypatch.chdir(tmp_path)
    write_text(tmp_path / "conf/train_small.yaml", "max_epoch: 9\ncodec_conf: {a: 1, b: 2}\n")
    write_text(tmp_path / "run.sh", '#!/bin/sh\nprintf "%s\\n" "$@" >> asked\n[ ! -e fail ]\n')
    (tmp_path / "run.sh").chmod(0o755)
    conf = {
        "all": {"codec_conf": {"b": 3}},
        "variants": {
            "sta": {},
            "no, sta!": {"max_epoch": 1, "init_from": "sta", "speed_perturb_factors": "0.9 1.1"},
        },
    }
    write_text(tmp_path / "conf/ablations.yaml", yaml.safe_dump(conf, sort_keys=False))
    return tmp_path


OPTIONS = ["--ssl_config", "conf/ssl/x_km4.yaml", "--expdir", "my exp"]
OPTIONS += ["--train_set", "train", "--valid_set", "dev", "--test_set", "test"]


def test_mappings_are_merged_and_other_values_replaced():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 2}
    changes = {"a": {"y": [3], "z": {"w": 4}}, "b": {"c": 5}}
    assert ablations.merge(base, changes) == {"a": {"x": 1, "y": [3], "z": {"w": 4}}, "b": {"c": 5}}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 2}
    assert ablations.merge(base, {}) == base


def test_each_variant_is_trained_by_the_recipe_and_has_its_row(recipe, monkeypatch, capsys):
    for name, assignment in (("sta", "sta"), ("no_sta_", "none")):
        write_experiment(recipe / "my exp" / f"codec_{name}_x_km4", assignment)
    monkeypatch.setattr(sys, "argv", ["ablations.py", *OPTIONS])
    ablations.main()

    first = yaml.safe_load((recipe / "my exp/conf/sta_x_km4.yaml").read_text())
    assert first == {"max_epoch": 9, "codec_conf": {"a": 1, "b": 3}}
    second = yaml.safe_load((recipe / "my exp/conf/no_sta__x_km4.yaml").read_text())
    assert second == {"max_epoch": 1, "codec_conf": {"a": 1, "b": 3}}
    asked = (recipe / "asked").read_text().splitlines()
    assert asked.count("--stage") == asked.count("my exp/conf/sta_x_km4.yaml") + 1 == 2
    assert "--init_param 'my exp/codec_sta_x_km4/valid.mel_loss.best.pth'" in asked
    assert asked[asked.index("--speed_perturb_factors") + 1] == "0.9 1.1"

    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| sta | 1.23 | 0.568 | -1.2 | 0.25 | 80.0 | 75.0 | 75 25 |"
    assert lines[3] == "| no, sta! | 1.23 | 0.568 | -1.2 | 0.25 | - | - | 75 25 |"
    # Three of five frames of train are token 1, and one of four of test.
    assert lines[5] == "Majority class: 60.0 % of the frames of train, 25.0 % of test."
    assert (recipe / "my exp/ABLATIONS.md").read_text().splitlines() == lines


def test_unknown_variants_and_failures_end_in_one_sentence(recipe):
    def call(*more: str) -> None:
        ablations._work(ablations.get_parser().parse_args([*OPTIONS, *more]))

    with pytest.raises(ConfigError, match="variant 'spd' is unknown; known are sta, no, sta!"):
        call("--variants", "spd")
    (recipe / "fail").touch()
    with pytest.raises(STACodecError, match="variant 'sta' failed; read the lines above"):
        call("--variants", "sta")
    write_text(recipe / "conf/ablations.yaml", "all: {}\nvarriants: {}\n")
    with pytest.raises(ConfigError, match="unknown key varriants"):
        call()


@pytest.mark.parametrize("corpus", ["librispeech", "slurp"])
def test_configurations_of_the_recipes_name_what_exists(corpus):
    recipe = RECIPES / corpus / "codec1"
    conf = yaml.safe_load((recipe / "conf/ablations.yaml").read_text())
    assert set(conf) <= {"all", "phase", "variants"}
    names = list(conf["variants"])
    for name, variant in conf["variants"].items():
        # What a variant continues is trained before it.
        before = names[: names.index(name)]
        assert variant.get("init_from", before[0] if before else None) in [None, *before]
    assert (recipe / "local/ablations.py").samefile(ablations.__file__)

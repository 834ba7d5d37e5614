"""Variants with several seeds: their trainings, what is kept, what RVQ-1 is asked."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import kaldiio
import numpy as np
import pytest
import yaml

from espnet_stacodec.config import construct
from espnet_stacodec.downstream.code_dirs import flatten_codes
from espnet_stacodec.errors import ConfigError, STACodecError
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import write_scp, write_text
from espnet_stacodec.gan_codec.stacodec import STACodec

RECIPES = Path(__file__).parents[2] / "egs2"
sys.path.insert(0, str(RECIPES / "TEMPLATE/codec1/local"))

import ablation_variants  # noqa: E402
import ablations  # noqa: E402
from ablation_measures import Probe  # noqa: E402

SIZES = [4, 8]
TOKENS = {"test": {"c": [1, 0, 2, 2]}, "spoken": {}}
CODES = {"test": {"c": [[1, 0, 2, 3], [0, 1, 2, 3]]}, "spoken": {}}  # one of four is no token
INTENTS, SPEAKERS = {}, {"c": "x"}
for number in range(24):  # the first code tells the intent of each utterance, the second nothing
    name, intent = f"u{number:02}", number % 3
    CODES["spoken"][name] = [[intent, 3, intent], [number % 7, 1, 1]]
    TOKENS["spoken"][name] = [0, 1, number % 2]
    INTENTS[name], SPEAKERS[name] = f"order_{intent}", f"s{number // 3}"
SCORES = {"pesq_wb": 1.234, "stoi": 0.5678, "stoi_interval": [0.5, 0.6], "utterances": 1}
PROBE = {"label": "intent", "sets": ["spoken"], "speakers_apart": True}


def write_ark(scp: Path, vectors: dict[str, np.ndarray]) -> None:
    scp.parent.mkdir(parents=True)
    with kaldiio.WriteHelper(f"ark,scp:{scp.with_suffix('.ark')},{scp}") as writer:
        for utt_id, vector in vectors.items():
            writer(utt_id, vector.astype(np.int32))


def write_codes(folder: Path, sizes: list[int], sets: dict[str, dict[str, list]]) -> None:
    """Write what stage 7 leaves."""
    info = {"codebook_sizes": sizes, "frame_rate_hz": 50.0, "codec_fingerprint": "f"}
    write_text(folder / "codes.json", json.dumps(info))
    for part, utterances in sets.items():
        flat = {utt: flatten_codes(np.array(codes), sizes) for utt, codes in utterances.items()}
        write_ark(folder / part / "codes.scp", flat)


def write_experiment(folder: Path, tokens: Path) -> None:
    """Write what stages 4 to 7 of a training leave."""
    write_text(folder / "config.yaml", yaml.safe_dump({"semantic_tokenizer": str(tokens)}))
    write_text(folder / "decode/results.json", json.dumps({"sets": {"test": SCORES}}))
    write_text(folder / "valid.mel_loss.best.pth", "weights")
    for utt, codes in CODES["test"].items():
        file = folder / f"decode/test/codes/{utt}.npz"
        file.parent.mkdir(parents=True)
        Codes(np.array(codes), 4 * 320, 16000, "f").save(file)
        write_scp(folder / "decode/test/codes.scp", {utt: str(file)})
    write_codes(folder / "codes", SIZES, CODES)


@pytest.fixture
def recipe(tmp_path, monkeypatch) -> Path:
    """A recipe whose run.sh notes its options, and can fail; codecs are there already."""
    monkeypatch.chdir(tmp_path)
    write_text(
        tmp_path / "conf/train_small.yaml",
        "max_epoch: 9\ncodec_conf: {generator_params: {a: 1, b: 2}}\n",
    )
    write_text(
        tmp_path / "run.sh",
        '#!/bin/sh\nprintf "%s\\n" "$@" >> asked\necho training\n[ ! -e fail ]\n',
    )
    (tmp_path / "run.sh").chmod(0o755)
    plain = {"codec_conf": {"generator_params": {"assignment": "none"}}}
    own = {"max_epoch": 1, "init_from": "sta", "speed_perturb_factors": "0.9 1.1"}
    own["keep_features"] = True
    conf = {
        "all": {"codec_conf": {"generator_params": {"b": 3}}},
        "variants": {"sta": {}, "no, sta!": plain | own},
        "probes": {"intent": PROBE},
    }
    write_text(tmp_path / "conf/ablations.yaml", yaml.safe_dump(conf, sort_keys=False))
    tokens = tmp_path / "dump/semantic/x_km4"
    for part, utterances in TOKENS.items():
        vectors = {utt: np.array(ids) for utt, ids in utterances.items()}
        write_ark(tokens / part / "semantic.scp", vectors)
        raw = tmp_path / "dump/raw" / part
        write_scp(raw / "wav.scp", dict.fromkeys(utterances, "x.flac"))
        write_scp(raw / "utt2spk", {utt: SPEAKERS[utt] for utt in utterances})
        write_scp(raw / "intent", {utt: INTENTS[utt] for utt in utterances if utt in INTENTS})
    for tag in ("sta_x_km4", "no_sta__x_km4"):
        for seed in (1, 2):
            write_experiment(tmp_path / f"my exp/codec_{tag}_seed{seed}", tokens)
    streams = {utt: [ids] for utt, ids in TOKENS["spoken"].items()}
    write_codes(tmp_path / "my exp/semantic_tokens", [4], {"spoken": streams})
    for command in ("decode", "dump_codes", "tokens_as_codes"):
        monkeypatch.setattr(f"ablation_measures.{command}.main", lambda words: None)
    loaded = SimpleNamespace(from_pretrained=load_codec)
    monkeypatch.setattr("ablation_measures.AudioCoding", loaded)
    return tmp_path


def load_codec(experiment: str) -> SimpleNamespace:
    """A codec that streams, where the variant is `sta`."""
    streams = "/codec_sta" in experiment
    return SimpleNamespace(is_causal=streams, needs_tokens=not streams, latency_seconds=0.06)


OPTIONS = ["--ssl_config", "conf/ssl/x_km4.yaml", "--expdir", "my exp"]
OPTIONS += ["--train_set", "train", "--valid_set", "dev", "--test_set", "test"]


def call(*more: str) -> None:
    ablations._work(ablations.get_parser().parse_args([*OPTIONS, *more]))


def test_mappings_are_merged_and_other_values_replaced():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 2}
    changes = {"a": {"y": [3], "z": {"w": 4}}, "b": {"c": 5}}
    expected = {"a": {"x": 1, "y": [3], "z": {"w": 4}}, "b": {"c": 5}}
    assert ablation_variants.merge(base, changes) == expected
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 2}
    assert ablation_variants.merge(base, {}) == base


def test_each_variant_is_trained_with_each_seed_and_kept(recipe, capfd):
    call("--seeds", "1", "2", "--probes", "intent")
    first = yaml.safe_load((recipe / "my exp/conf/sta_x_km4_seed1.yaml").read_text())
    assert first == {
        "max_epoch": 9,
        "codec_conf": {"generator_params": {"a": 1, "b": 3}},
        "seed": 1,
    }
    last = yaml.safe_load((recipe / "my exp/conf/no_sta__x_km4_seed2.yaml").read_text())
    assert last["seed"] == 2 and last["max_epoch"] == 1
    asked = (recipe / "asked").read_text().splitlines()
    stages = [asked[i + 1] for i, word in enumerate(asked) if word == "--stage"]
    # The first training makes the statistics, and so does each on copies of other speeds.
    assert stages == ["4", "4", "5", "4"]
    begun = [word for word in asked if word.startswith("--init_param")]
    best = "valid.mel_loss.best.pth'"
    assert begun == [f"--init_param 'my exp/codec_sta_x_km4_seed{n}/{best}" for n in (1, 2)]
    assert asked[asked.index("--speed_perturb_factors") + 1] == "0.9 1.1"
    assert asked[asked.index("--keep_features") + 1] == "true"
    assert asked.count("--keep_features") == 2

    table = capfd.readouterr().out
    lines = table.splitlines()
    assert "| sta | 60 | 1.23 ± 0.00 | 0.568 ± 0.000 |" in lines
    assert "| no, sta! | the whole | 1.23 ± 0.00 | 0.568 ± 0.000 |" in lines
    # Three of four frames are the token; where none is assigned that is not asked.
    row = next(line for line in lines if line.startswith("| sta |") and "75.0" in line)
    assert row.endswith("| 75.0 ± 0.0 | 100.0 ± 0.0 |")
    row = next(line for line in lines if line.startswith("| no, sta! |") and "100.0" in line)
    assert "| - | 100.0 ± 0.0 |" in row
    assert any(line.startswith("| commonest answer | - | - |") for line in lines)
    assert (recipe / "my exp/ABLATIONS.md").read_text() == table

    call("--seeds", "1", "2", "--probes", "intent")
    assert capfd.readouterr().out == table
    assert (recipe / "asked").read_text().splitlines() == asked  # nothing was trained again
    call("--seeds", "1", "2", "--probes", "intent", "--metrics", "stoi")
    assert len((recipe / "asked").read_text().splitlines()) > len(asked)


def test_the_folder_says_what_made_its_tables(recipe):
    call("--seeds", "1", "2", "--variants", "sta", "--nj", "2")
    path = recipe / "my exp/provenance.yaml"
    made = yaml.safe_load(path.read_text())
    assert made["configuration"]["seeds"] == [1, 2] and "torch" in made["versions"]
    assert made["configuration"]["ablations"]["all"]["codec_conf"]["generator_params"] == {"b": 3}
    assert "nj" not in made["configuration"] and made["git_revision"]
    write_text(recipe / "my exp/codec_sta_x_km4_seed2/valid.mel_loss.best.pth", "others")
    call("--seeds", "1", "2", "--variants", "sta")
    assert yaml.safe_load(path.read_text())["data"]["codecs"] != made["data"]["codecs"]


def test_an_interrupted_call_goes_on_with_what_is_missing(recipe):
    call("--seeds", "1", "2", "--variants", "sta")
    (recipe / "my exp/codec_sta_x_km4_seed2/figures.json").unlink()
    (recipe / "asked").unlink()
    call("--seeds", "1", "2", "--variants", "sta")
    asked = (recipe / "asked").read_text().splitlines()
    assert asked.count("--tag") == 1 and "sta_x_km4_seed2" in asked


def test_what_cannot_be_done_ends_in_one_sentence(recipe):
    with pytest.raises(ConfigError, match="variant 'spd' is unknown; known are sta, no, sta!"):
        call("--variants", "spd")
    with pytest.raises(ConfigError, match="probe 'mood' is unknown; known are intent"):
        call("--probes", "mood")
    for seeds in (["1", "1"], ["-1"]):
        with pytest.raises(ConfigError, match="--seeds .* each must be 0 or more, and another one"):
            call("--seeds", *seeds)
    (recipe / "fail").touch()
    with pytest.raises(STACodecError, match="variant 'sta' failed; read the lines above"):
        call("--variants", "sta")
    write_text(recipe / "conf/ablations.yaml", "all: {}\nvarriants: {}\n")
    with pytest.raises(ConfigError, match="unknown key varriants"):
        call()


def test_a_probe_asks_the_first_codebook(tmp_path):
    write_codes(tmp_path / "codes", SIZES, {"spoken": CODES["spoken"]})
    raw = tmp_path / "raw/spoken"
    for name, values in (("intent", INTENTS), ("utt2spk", SPEAKERS)):
        write_scp(raw / name, {utt: values[utt] for utt in CODES["spoken"]})
    found = Probe("intent", "intent", ["spoken"], speakers_apart=True).ask(
        tmp_path / "codes", tmp_path / "raw"
    )
    assert found["value"] == 100.0 and found["majority"] <= 50.0
    # Two of three utterances of a speaker differ from each other: the codes say nothing of them.
    speaker = Probe("speaker", "utt2spk", ["spoken"])
    assert speaker.ask(tmp_path / "codes", tmp_path / "raw")["value"] < 50.0


def test_spelling_needs_sets_to_test_on_and_is_told_in_errors(tmp_path):
    where = "ablations.yaml: probe"
    with pytest.raises(ConfigError, match="probe 's': `test` must be some of `sets` \\(a\\)"):
        Probe.read("s", {"label": "text", "sets": ["a"], "spelling": True}, where)
    with pytest.raises(ConfigError, match="`test` must be some of `sets` \\(a\\), not \\[b\\]"):
        Probe.read("s", {"label": "text", "sets": ["a"], "test": ["b"]}, where)
    with pytest.raises(ConfigError, match="unknown key set;"):
        Probe.read("s", {"label": "text", "set": "a"}, where)
    sets = {part: {f"{part}{n}": [[n, 3, n]] for n in range(3)} for part in ("a", "b")}
    write_codes(tmp_path / "codes", [4], sets)
    for part, codes in sets.items():
        write_scp(tmp_path / "raw" / part / "text", dict.fromkeys(codes, "ab"))
        write_scp(tmp_path / "raw" / part / "utt2spk", dict.fromkeys(codes, part))
        write_scp(tmp_path / "raw" / part / "wav.scp", dict.fromkeys(codes, "x"))
    probe = Probe.read(
        "s", {"label": "text", "sets": ["a", "b"], "test": ["b"], "spelling": True}, ""
    )
    assert set(probe.ask(tmp_path / "codes", tmp_path / "raw")) == {"value"}


@pytest.mark.parametrize("corpus", ["librispeech", "slurp"])
def test_configurations_of_the_recipes_can_be_built(corpus):
    recipe = RECIPES / corpus / "codec1"
    conf = yaml.safe_load((recipe / "conf/ablations.yaml").read_text())
    assert set(conf) <= {"all", "phase", "variants", "probes"}
    for name, entry in conf["probes"].items():
        Probe.read(name, entry, corpus)
    script = (recipe / "run_ablations.sh").read_text()
    words = script.split("local/ablations.py", 1)[1].replace("\\\n", " ").split()
    args = ablations.get_parser().parse_args([word for word in words if word != '"$@"'])
    args.train_config = recipe / args.train_config
    names = list(conf["variants"])
    for run in ablation_variants.plan(conf, args):
        # What a variant continues is trained before it.
        before = names[: names.index(run.variant)]
        begun = conf["variants"][run.variant].get("init_from")
        assert begun is None or begun in before
        codec_conf = ablation_variants.merge(
            run.conf["codec_conf"], {"generator_params": {"semantic_clusters": 500}}
        )
        params = codec_conf["generator_params"]
        if params.get("distillation") is not None:
            params["distillation"]["feature_dim"] = 8
        construct(STACodec, codec_conf, run.variant)
    assert (recipe / "local/ablations.py").samefile(ablations.__file__)


def test_the_data_of_the_miniature(tmp_path, monkeypatch):
    sys.path.insert(0, str(RECIPES / "librispeech/codec1/local"))
    import miniature_data

    data, rows = tmp_path / "data", "speaker\tsex\tsource\tpath\ttext\n"
    readers = [f"r{n:02}\tf\tx\ttrain/r{n:02}/a.flac\t\n" for n in range(20)]
    accents = [f"a{n}\tf\ty\ttrain/a{n}/b.flac\tI SEE\n" for n in range(5)]
    write_text(data / "voices/train.tsv", rows + "".join(readers + accents))
    write_text(data / "voices/dev.tsv", rows + "d\tf\tx\tdev/d/a.flac\t\n")
    for path in (
        "LibriSpeech/train-clean-100/9101/1/c.flac",
        "fsdd/3_theo_2.wav",
        "fsdd/3_theo_3.wav",
    ):
        write_text(data / path, "")
    slurp = data / "slurp"
    prompt = {"sentence": "tea", "scenario": "order", "action": "tea"}
    line = json.dumps(prompt | {"recordings": [{"file": "a.flac"}]})
    write_text(slurp / "dataset/slurp/train.jsonl", line + "\n")
    write_text(slurp / "audio/slurp_real/a.flac", "")
    entries = {"1": {"recordings": {"a.flac": {"usrid": "UNK"}}}}
    write_text(slurp / "dataset/slurp/metadata.json", json.dumps(entries))
    monkeypatch.setattr(sys, "argv", ["miniature_data.py", str(data), str(tmp_path / "out")])
    miniature_data.main()

    def speakers(name: str) -> list[str]:
        lines = (tmp_path / "out" / name / "utt2spk").read_text().splitlines()
        return [line.split()[1] for line in lines]

    assert speakers("readers_dev") == ["r00", "r15"]
    trained = {f"r{n:02}" for n in range(20)} - {"r00", "r15"}
    assert set(speakers("readers_train")) == {"9101"} | trained
    assert speakers("readers_test") == ["d"]
    assert speakers("accents_test") == ["a0", "a4"] and len(speakers("accents_train")) == 3
    assert (tmp_path / "out/digits/text").read_text() == "theo-3_theo_2 THREE\n"
    assert (tmp_path / "out/commands/intent").read_text().split()[1] == "order_tea"

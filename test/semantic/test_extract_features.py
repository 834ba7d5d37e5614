"""SSL features on disk: those of the upstream, resumed, and the same from several processes."""

from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch

from espnet_stacodec.bin.extract_semantic import main
from espnet_stacodec.fileio import parts
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.parallel import Workers
from espnet_stacodec.semantic.extract import extract
from espnet_stacodec.semantic.extract_features import extract_features
from espnet_stacodec.semantic.token_files import read_tokens, read_utterances, read_wave
from espnet_stacodec.semantic.tokenizer import SemanticTokenizer
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig


@pytest.fixture
def config(tiny_hubert: Path, monkeypatch: pytest.MonkeyPatch) -> UpstreamConfig:
    monkeypatch.setattr(parts, "PART_ITEMS", 2)
    return UpstreamConfig("tiny", 1, 6, backend="transformers", path_or_url=str(tiny_hubert))


def test_tokens_are_clusters_of_the_features(config, dump_dir, tmp_path):
    extract(config, dump_dir, "train", ["train"], tmp_path)
    made_of = (tmp_path / "train/provenance.yaml").read_text()
    extract_features(config, dump_dir, ["train"], tmp_path)
    tokenizer = SemanticTokenizer.load(tmp_path)
    tokens = read_tokens(tmp_path / "train/semantic.scp")
    places = read_scp(tmp_path / "train/features/features.scp")
    assert list(places) == list(tokens)
    for utterance in read_utterances(dump_dir / "train"):
        features = kaldiio.load_mat(places[utterance.utt_id])
        assert features.dtype == np.float32
        wave = torch.from_numpy(read_wave(utterance))
        wanted = tokenizer.upstream.features(wave, utterance.utt_id).numpy()
        assert np.array_equal(features, wanted)
        assert len(features) == len(tokens[utterance.utt_id])
    assert {path.suffix for path in (tmp_path / "train/features").iterdir()} <= {
        ".ark", ".scp", ".offsets", ".yaml", ".lock", "",
    }  # fmt: skip
    assert not list((tmp_path / "train/features").rglob("*.npy"))
    assert (tmp_path / "train/provenance.yaml").read_text() == made_of


def test_two_processes_go_on_where_one_ended(config, dump_dir, tmp_path):
    extract(config, dump_dir, "train", ["train"], tmp_path)
    extract_features(config, dump_dir, ["train"], tmp_path)
    folder = tmp_path / "train/features"
    whole = {path.name: path.read_bytes() for path in folder.glob("*.ark")}
    times = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.ark")}
    assert len(whole) > 1
    (folder / "features.scp").unlink()
    (folder / "features.2.ark").unlink()
    with Workers(2) as workers:
        extract_features(config, dump_dir, ["train"], tmp_path, workers)
    assert {path.name: path.read_bytes() for path in folder.glob("*.ark")} == whole
    again = {
        path.name for path in folder.glob("*.ark") if path.stat().st_mtime_ns != times[path.name]
    }
    assert again == {"features.2.ark"}


def test_precomputed_tokens_have_no_features(tmp_path):
    (tmp_path / "tokenizer.yaml").write_text("name: toy\nnum_clusters: 8\n")
    with pytest.raises(SystemExit, match="--features_of: precomputed tokens have no features"):
        main(["--semantic_tokens", str(tmp_path), "--sets", "a", "--features_of", "a"])

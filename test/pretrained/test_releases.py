"""The authors' releases as experiments: imported, opened by variant, refused."""

import json
import shutil
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from espnet_stacodec.bin import stacodec as command
from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.pretrained.releases import import_checkpoint, import_release, open_variant
from espnet_stacodec.semantic.tokenizer_info import TokenizerInfo, UpstreamConfig

UPSTREAM = UpstreamConfig("toy", 1, 64)


@pytest.fixture(scope="module")
def checkpoint(shared: Path) -> Path:
    path = shared / "parity" / "small_sta.th"
    if not path.exists():
        pytest.skip("../shared/parity is not there")
    return path


@pytest.fixture(scope="module")
def kmeans(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kmeans") / "kmeans_k64.pt"
    frames = np.random.default_rng(0).standard_normal((300, 3)).astype(np.float32)
    joblib.dump(KMeans(64, n_init=1).fit(frames), path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def releases(tmp_path: Path, checkpoint: Path, monkeypatch) -> Path:
    """A folder laid out as the authors' repository, with one variant."""
    folder = tmp_path / "releases" / "small_spd"
    folder.mkdir(parents=True)
    shutil.copy(checkpoint.with_name("small_spd_bins1024.th"), folder / "model.th")
    (folder / "config.json").write_text(json.dumps({"ssl_model_type": None, "spd": True}))
    return folder.parent


def test_an_imported_codec_encodes_as_the_published_implementation(checkpoint, kmeans, tmp_path):
    """In one pass from given tokens, with the tail, and decodes to the input's exact length."""
    import_checkpoint(checkpoint, tmp_path / "exp", kmeans, UPSTREAM)
    codec = AudioCoding.from_pretrained(tmp_path / "exp")
    outputs = np.load(checkpoint.with_name("small_sta_2s.npz"))
    wave, labels = outputs["x"][0, 0], outputs["labels"][0]
    codes = codec.encode(wave, 16000, labels)
    assert torch.equal(codes, torch.from_numpy(outputs["codes"][0]))
    audio = codec.decode(codes, len(wave))
    np.testing.assert_allclose(audio, outputs["wav_dec"][0, 0], rtol=0, atol=1e-4)
    cut = codec.encode(wave[:-7], 16000, labels)
    assert cut.shape == codes.shape and codec.decode(cut, len(wave) - 7).shape == (len(wave) - 7,)
    info = TokenizerInfo.read(tmp_path / "exp" / "semantic")
    assert (info.tag, info.fingerprint) == ("toy_l1_km64", codec.tokenizer.fingerprint)


def test_a_variant_of_a_folder_of_releases(releases, checkpoint):
    codec = AudioCoding.from_pretrained(releases, variant="small_spd")
    assert codec.predicts_tokens and not codec.needs_tokens
    outputs = np.load(checkpoint.with_name("small_spd_bins1024_2s.npz"))
    codes = codec.encode(outputs["x"][0, 0], 16000)
    assert torch.equal(codes, torch.from_numpy(outputs["codes"][0]))
    assert torch.equal(codes[0], torch.from_numpy(outputs["spd_pred"][0]))
    # Imported once, then taken from the cache.
    folder = open_variant(releases, "small_spd")
    made = (folder / "model.pth").stat().st_mtime_ns
    assert (open_variant(releases, "small_spd") / "model.pth").stat().st_mtime_ns == made


def test_the_command_imports_a_file_and_a_folder(releases, checkpoint, tmp_path, capsys):
    command.main(["import", str(checkpoint), "--out", str(tmp_path / "file")])
    command.main(["import", str(releases / "small_spd"), "--out", str(tmp_path / "folder")])
    command.main(["info", str(tmp_path / "folder")])
    assert "predicted" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="there is an experiment in it; give another folder"):
        command.main(["import", str(checkpoint), "--out", str(tmp_path / "file")])


def test_parts_that_do_not_belong_together(checkpoint, kmeans, tmp_path):
    with pytest.raises(ConfigError, match="A k-means needs its upstream"):
        import_checkpoint(checkpoint, tmp_path / "exp", kmeans)
    other = UpstreamConfig("toy", 1, 63)
    with pytest.raises(ModelError, match="has 64 clusters, toy_l1_km63 has 63"):
        import_checkpoint(checkpoint, tmp_path / "exp", kmeans, other)
    # This one predicts another number of tokens than the k-means has.
    spd = checkpoint.with_name("small_spd_bins1024.th")
    with pytest.raises(ModelError, match="has 64 clusters, the codec has 1000"):
        import_checkpoint(spd, tmp_path / "exp", kmeans, UPSTREAM)
    assert not (tmp_path / "exp").exists()


def test_a_variant_of_a_repository(releases, monkeypatch, tmp_path):
    """Only the files of the variant are asked for."""

    def download(repository: str, **options: str | None) -> str:
        assert (repository, options.pop("allow_patterns")) == ("owner/codecs", "small_spd/*")
        assert options.pop("ignore_patterns") is None
        assert options == {"revision": "v1", "token": "secret", "cache_dir": str(tmp_path)}
        return str(releases)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    codec = AudioCoding.from_pretrained(
        "owner/codecs",
        variant="small_spd",
        revision="v1",
        token="secret",
        cache_dir=str(tmp_path),
    )
    assert len(list((tmp_path / "espnet_stacodec").iterdir())) == 1
    assert codec.predicts_tokens


def test_releases_that_lack_a_part(releases, tmp_path):
    with pytest.raises(ModelError, match=r"no variant large \(there: small_spd\)"):
        open_variant(releases, "large")
    with pytest.raises(ModelError, match="neither a folder nor an id"):
        open_variant("no/such/folder", "large")
    config = releases / "small_spd" / "config.json"
    config.write_text(json.dumps({"ssl_model_type": "other"}))
    with pytest.raises(ModelError, match="ssl_model_type 'other' is unknown; known are wavlm"):
        import_release(releases / "small_spd", tmp_path / "exp")
    config.write_text(json.dumps({"ssl_model_type": ["wavlm_large_l23"]}))
    with pytest.raises(ModelError, match=r"ssl_model_type '\['wavlm_large_l23'\]' is unknown"):
        import_release(releases / "small_spd", tmp_path / "exp")
    config.write_text(json.dumps({"ssl_model_type": "wavlm_large_l23"}))
    with pytest.raises(ModelError, match=r"kmeans_models: expected one k-means, found 0"):
        import_release(releases / "small_spd", tmp_path / "exp")
    config.write_text("{")
    with pytest.raises(ModelError, match="not the configuration of a release"):
        import_release(releases / "small_spd", tmp_path / "exp")


def test_a_checkpoint_with_a_missing_weight(checkpoint, tmp_path):
    from espnet_stacodec.pretrained.official_checkpoint import _load

    content = _load(checkpoint)
    del content["best_state"]["model"]["decoder.model.0.conv.conv.bias"]
    torch.save(content, tmp_path / "model.th")
    with pytest.raises(
        ModelError, match=r"/model\.th: cannot be loaded as this codec .*Missing key"
    ):
        import_checkpoint(tmp_path / "model.th", tmp_path / "exp")
    assert not (tmp_path / "exp").exists()

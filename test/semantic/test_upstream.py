import functools
import hashlib
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import transformers

from espnet_stacodec.errors import ConfigError, DataError, LengthError
from espnet_stacodec.semantic.backends import build_upstream
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig
from espnet_stacodec.semantic.upstream import Upstream, average_frames

# One sample, half a window, and around whole frames of 20 ms and 10 ms.
LENGTHS = (1, 200, 399, 400, 799, 800, 801, 3199, 3200, 3201, 3360, 3361, 16000, 16001, 16161)


def noise(samples: int) -> torch.Tensor:
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))


def config(upstream: str = "mfcc", layer: int = 0, **more) -> UpstreamConfig:
    return UpstreamConfig(upstream=upstream, layer=layer, num_clusters=4, **more)


def hf(folder: Path | str, layer: int = 1) -> UpstreamConfig:
    return config("tiny", layer, backend="transformers", path_or_url=str(folder))


class Ramp(Upstream):
    """Frame i of hidden state j is (i, j); `rate_hz` and `extra` frames may be set."""

    rate_hz = 50
    extra = 0
    value = 0.0

    def _load(self) -> None:
        pass

    def _hidden_states(self, wave: torch.Tensor) -> Sequence[torch.Tensor]:
        frames = torch.arange(math.ceil(len(wave) * self.rate_hz / 16000) + self.extra).float()
        return [torch.stack([frames, frames * 0 + j + self.value], dim=1) for j in range(3)]


def test_odd_tail_is_averaged_alone() -> None:
    frames = torch.tensor([[1.0], [3.0], [5.0], [7.0], [9.0]])
    assert average_frames(frames, 2).flatten().tolist() == [2.0, 6.0, 9.0]
    assert average_frames(frames, 1) is frames


@pytest.mark.parametrize("rate_hz", [50, 100, 200])
def test_every_rate_is_brought_to_one_frame_in_20_ms(rate_hz: int) -> None:
    class Rate(Ramp):
        pass

    Rate.rate_hz = rate_hz
    upstream = Rate(config(layer=2), "cpu")
    for samples in LENGTHS:
        features = upstream.features(noise(samples))
        assert features.shape == (math.ceil(samples / 320), 2)
        assert (features[:, 1] == 2).all()
    group = rate_hz // 50
    assert features[:2, 0].tolist() == [(group - 1) / 2, group + (group - 1) / 2]


def test_one_frame_more_or_less_is_repaired_and_more_is_an_error() -> None:
    upstream = Ramp(config(), "cpu")
    for extra, last in ((1, 9), (-1, 8)):
        upstream.extra = extra
        assert upstream.features(noise(3200))[-1, 0] == last
        assert len(upstream.features(noise(3200))) == 10
    upstream.extra = 2
    with pytest.raises(LengthError, match=r"utt7: 12 .* for 10"):
        upstream.features(noise(3200), "utt7")


def test_rates_that_do_not_fit_are_refused() -> None:
    class Slow(Ramp):
        rate_hz = 25

    with pytest.raises(ConfigError, match="25 frames per second; only 50 Hz"):
        Slow(config(), "cpu")


def test_features_that_are_not_finite_name_the_utterance() -> None:
    upstream = Ramp(config(), "cpu")
    upstream.value = math.nan
    with pytest.raises(DataError, match="utt7: mfcc gives features that are not finite"):
        upstream.features(noise(3200), "utt7")


@pytest.mark.parametrize("shape", [(0,), (2, 100)])
def test_audio_of_a_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="utt7: audio of shape"):
        Ramp(config(), "cpu").features(torch.zeros(shape), "utt7")


def test_s3prl_mfcc_lengths_and_layers() -> None:
    upstream = build_upstream(config())
    assert upstream.feature_dim == 39
    for samples in LENGTHS:
        assert len(upstream.features(noise(samples))) == math.ceil(samples / 320)
    assert upstream.features(torch.zeros(3200)).isfinite().all()
    with pytest.raises(ConfigError, match="has 1 hidden states, layer must be 0 to 0"):
        build_upstream(config(layer=1))


def test_s3prl_names() -> None:
    from espnet_stacodec.semantic.s3prl_backend import available_names, loader_name

    assert not {"Path", "FileLock", "load_and_convert_fairseq_ckpt"} & set(available_names())
    with pytest.raises(ConfigError, match=r"no 'wavlm_larg'; close names: .*wavlm_large"):
        loader_name("wavlm_larg", None)
    with pytest.raises(ConfigError, match="wavlm_local needs the checkpoint"):
        loader_name("wavlm_local", None)
    with pytest.raises(ConfigError, match="mfcc takes no checkpoint"):
        loader_name("mfcc", "somewhere.pt")


@pytest.mark.parametrize(
    ("upstream", "path", "loader"),
    [
        ("wavlm_large", None, "wavlm_large"),
        # S3PRL itself would ignore these paths and download.
        ("wavlm_large", "my/wavlm.pt", "wavlm_local"),
        ("hubert_base", "my/hubert.pt", "hubert_local"),
        ("hf_hubert_custom", "my/folder", "hf_hubert_custom"),
    ],
)
def test_a_given_checkpoint_is_really_loaded(upstream: str, path: str, loader: str) -> None:
    from espnet_stacodec.semantic.s3prl_backend import loader_name

    assert loader_name(upstream, path) == loader


def test_checkpoints_from_other_addresses_than_the_librarys_are_refused() -> None:
    for upstream in ("wavlm_large", "wavlm_url"):
        with pytest.raises(ConfigError, match="an address that S3PRL does not know itself"):
            build_upstream(config(upstream, path_or_url="https://a.b/wavlm.pt"))
    with pytest.raises(ConfigError, match="for a hub id take backend: transformers"):
        build_upstream(config("hf_hubert_custom", path_or_url="some/where"))


def test_s3prl_checkpoint_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match=r"there is no checkpoint 'nowhere/hubert.pt'"):
        build_upstream(config("hubert_base", path_or_url="nowhere/hubert.pt"))


def test_s3prl_checkpoint_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "hubert.pt").write_bytes(b"no checkpoint")
    with pytest.raises(ConfigError, match=r"cannot load hubert_base from .*hubert.pt"):
        build_upstream(config("hubert_base", path_or_url=str(tmp_path / "hubert.pt")))


def test_wavlm_from_a_checkpoint_under_its_usual_name(tmp_path: Path, caplog) -> None:
    from s3prl.upstream.wavlm.WavLM import WavLM, WavLMConfig

    settings = WavLMConfig().__dict__ | {
        "encoder_layers": 2,
        "encoder_embed_dim": 16,
        "encoder_ffn_embed_dim": 32,
        "encoder_attention_heads": 2,
        "conv_feature_layers": "[(8,10,5)] + [(8,3,2)] * 4 + [(8,2,2)] * 2",
        "conv_pos": 8,
        "conv_pos_groups": 2,
    }
    model = WavLM(WavLMConfig(settings))
    torch.save({"cfg": settings, "model": model.state_dict()}, tmp_path / "wavlm.pt")
    path = str(tmp_path / "wavlm.pt")
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    wavlm = functools.partial(config, "wavlm_large", layer=2, path_or_url=path)
    with caplog.at_level("INFO"):
        upstream = build_upstream(wavlm(sha256=digest))
    assert f"{path}: sha256 {digest}" in caplog.text
    assert upstream.weights == f"sha256:{digest}"
    with pytest.raises(ConfigError, match=rf"{path} has {digest}, not 0000.*was not loaded"):
        build_upstream(wavlm(sha256="0" * 64))
    assert build_upstream(wavlm()).weights == upstream.weights
    assert upstream.feature_dim == 16
    for samples in LENGTHS:
        assert len(upstream.features(noise(samples))) == math.ceil(samples / 320)


def test_a_required_checksum_of_nothing_is_an_error() -> None:
    with pytest.raises(ConfigError, match="loads no checkpoint"):
        build_upstream(config(sha256="0" * 64))
    for wrong in ("abc", "G" * 64):
        with pytest.raises(ConfigError, match=f"sha256: '{wrong}' is not the 64"):
            config(sha256=wrong)
    with pytest.raises(ConfigError, match=r"revision: 'abc' is for hub ids"):
        config(revision="abc")


def test_a_pinned_revision_reaches_the_hub(tiny_hubert: Path, monkeypatch, caplog) -> None:
    """The hub is played by a folder; what it is asked for is what counts."""
    from espnet_stacodec.semantic import transformers_backend

    asked = []
    for name in ("AutoModel", "AutoFeatureExtractor"):
        auto = getattr(transformers_backend, name)
        original = auto.from_pretrained

        def from_hub(source, revision=None, original=original, **more):
            asked.append((source, revision))
            loaded = original(tiny_hubert, **more)
            if hasattr(loaded, "config"):
                loaded.config._commit_hash = "c0ffee"
            return loaded

        monkeypatch.setattr(auto, "from_pretrained", from_hub)
    for revision in ("v1", None):
        with caplog.at_level("INFO"):
            upstream = build_upstream(
                config("tiny", 1, backend="transformers", path_or_url="a/b", revision=revision)
            )
        assert upstream.weights == "a/b c0ffee"
    assert asked == [("a/b", "v1"), ("a/b", "v1"), ("a/b", None), ("a/b", None)]
    assert caplog.text.count("`revision: c0ffee`") == 1  # advice where it is not pinned


def test_a_folder_has_no_revision(tiny_hubert: Path) -> None:
    with pytest.raises(ConfigError, match=r"revision: 'v1' was asked for, but .* is a folder"):
        pinned = {"backend": "transformers", "path_or_url": str(tiny_hubert), "revision": "v1"}
        build_upstream(config("tiny", 1, **pinned))


def test_both_backends_agree_on_one_hubert(tiny_hubert: Path) -> None:
    direct = build_upstream(hf(tiny_hubert, layer=2))
    by_s3prl = build_upstream(config("hf_hubert_custom", layer=2, path_or_url=str(tiny_hubert)))
    assert by_s3prl.weights == direct.weights  # whose fingerprint is kept beside the tokenizer
    assert "model.safetensors" in direct.weights
    for samples in LENGTHS:
        features = direct.features(noise(samples))
        assert features.shape == (math.ceil(samples / 320), 16)
        torch.testing.assert_close(by_s3prl.features(noise(samples)), features)


def test_layers_are_hidden_states(tiny_hubert: Path) -> None:
    layers = [build_upstream(hf(tiny_hubert, layer)).features(noise(3200)) for layer in range(3)]
    assert not torch.equal(layers[0], layers[1])
    assert not torch.equal(layers[1], layers[2])
    with pytest.raises(ConfigError, match="has 3 hidden states, layer must be 0 to 2"):
        build_upstream(hf(tiny_hubert, 3))


def test_whisper_frames_are_those_of_its_encoder_in_float32(tiny_whisper: Path) -> None:
    from transformers import WhisperFeatureExtractor, WhisperModel

    upstream = build_upstream(hf(tiny_whisper))
    wave = noise(16001)
    extractor = WhisperFeatureExtractor.from_pretrained(tiny_whisper)
    model = WhisperModel.from_pretrained(tiny_whisper, dtype=torch.float32).eval()
    inputs = extractor(wave.numpy(), sampling_rate=16000, return_tensors="pt")
    with torch.inference_mode():
        states = model.get_encoder()(**inputs, output_hidden_states=True).hidden_states
    torch.testing.assert_close(upstream.features(wave), states[1][0, :51])
    for samples in LENGTHS:
        assert len(upstream.features(noise(samples))) == math.ceil(samples / 320)


def test_whisper_takes_long_audio_in_windows_of_30_s(tiny_whisper: Path) -> None:
    upstream = build_upstream(hf(tiny_whisper))
    wave = noise(480000 + 16001)
    features = upstream.features(wave)
    assert len(features) == math.ceil(len(wave) / 320)
    torch.testing.assert_close(features[:1500], upstream.features(wave[:480000]))
    torch.testing.assert_close(features[1500:], upstream.features(wave[480000:]))


def test_real_whisper(shared: Path) -> None:
    folder = shared / "models" / "whisper-base-encoder"
    upstream = build_upstream(hf(folder, layer=4))
    assert upstream.features(noise(16001)).shape == (51, 512)


def test_model_folder_that_is_not_there_or_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no model folder 'a/b/c'"):
        build_upstream(hf("a/b/c"))
    with pytest.raises(ConfigError, match="not a usable model folder"):
        build_upstream(hf(tmp_path))


def hub_cache(folder: Path, hub: Path) -> None:
    """Lay `folder` out as the hub client keeps the repository somebody/tiny."""
    repository = hub / "models--somebody--tiny"
    shutil.copytree(folder, repository / "snapshots" / "0123abcd")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123abcd")


def test_hub_id_through_the_real_client(
    tiny_hubert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    hub_cache(tiny_hubert, tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    # Before transformers 5 it kept the folder that was set when it was imported.
    monkeypatch.setattr(transformers.utils.hub, "TRANSFORMERS_CACHE", str(tmp_path), raising=False)
    by_id = build_upstream(hf("somebody/tiny")).features(noise(3200))
    assert torch.equal(by_id, build_upstream(hf(tiny_hubert)).features(noise(3200)))
    with pytest.raises(ConfigError, match=r"'somebody/else' is not .* give the path of a"):
        build_upstream(hf("somebody/else"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_gpu_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="no GPU can be used"):
        build_upstream(config(), "cuda")

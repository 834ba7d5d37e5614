"""The variants of the codec through the task: what is trained, saved, and needed afterwards."""

import shutil
from functools import partial

import numpy as np
import pytest
import torch
import yaml

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.fileio.arks import write_arks
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.gan_codec.tokens.distillation import FeatureDistillation
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.token_files import read_tokens

TRANSFORMER = {
    "hidden": 8, "layers": 1, "heads": 2, "feed_forward": 12, "window": 10, "overlap": 3,
}  # fmt: skip
SMALL = {"layers": 1, "feed_forward": 12}


def variant(toy_task, **changes):
    return {"generator_params": toy_task.codec_conf["generator_params"] | changes}


def test_spd_encodes_without_the_ssl_model(spd_without_ssl, toy_utterance):
    codec = AudioCoding.from_pretrained(spd_without_ssl)
    assert codec.predicts_tokens and not codec.needs_tokens
    audio, _ = toy_utterance(9, 30)
    codes = codec.encode(audio, 16000)
    assert isinstance(codec.generator, STACodecGenerator)
    with torch.inference_mode():
        latents = codec.generator.encode(torch.from_numpy(audio)[None, None])
        predicted = codec.generator.token_source(latents, None, None).values
    assert torch.equal(codes[0], predicted[0])
    assert codec.decode(codes, len(audio)).shape == (len(audio),)


def test_spd_logs_its_accuracy_for_training_and_validation(spd_experiment):
    from espnet2.train.reporter import Reporter

    reporter = Reporter()
    checkpoint = torch.load(spd_experiment / "checkpoint.pth", weights_only=False)
    reporter.load_state_dict(checkpoint["reporter"])
    for phase in ("train", "valid"):
        assert 0 <= reporter.get_value(phase, "token_accuracy", 1) <= 1
        assert 0 < reporter.get_value(phase, "majority_token_accuracy", 1) <= 1
        assert reporter.get_value(phase, "token_loss", 1) > 0


def test_the_second_phase_starts_from_the_first(toy_task, sta_experiment, tmp_path):
    """SPD from the checkpoint of a codec that was trained with true tokens."""
    conf = variant(toy_task, predistillation={"transformer": TRANSFORMER})
    first = sta_experiment / "valid.mel_loss.best.pth"
    out = toy_task.train(
        tmp_path / "spd",
        codec_conf=conf,
        max_epoch=1,
        init_param=[str(first)],
        optim_conf={"lr": 0.0},
        optim2_conf={"lr": 0.0},
    )
    before = torch.load(first, weights_only=True)
    after = torch.load(out / "1epoch.pth", weights_only=True)
    name = "codec.generator.encoder.model.0.conv.conv.bias"
    assert torch.equal(before[name], after[name])
    assert any("token_source.head" in key for key in set(after) - set(before))


def test_distillation_learns_from_the_tokenizers_centroids(toy_task, tmp_path):
    """They go into the checkpoint, so that the experiment needs nothing from elsewhere."""
    centroids = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    folder = tmp_path / "toy"
    shutil.copytree(toy_task.tokenizer, folder)
    KMeans(centroids).save(folder / "centroids.safetensors")
    conf = variant(toy_task, assignment="none", distillation={})
    out = toy_task.train(
        tmp_path / "distilled", codec_conf=conf, max_epoch=1, semantic_tokenizer=str(folder)
    )
    state = torch.load(out / "1epoch.pth", weights_only=True)
    kept = state["codec.generator.distillation.centroids"]
    assert torch.equal(kept, centroids - centroids.mean(0))
    saved = yaml.safe_load((out / "config.yaml").read_text())
    assert saved["codec_conf"]["generator_params"]["distillation"] == {"feature_dim": 3}
    codec = AudioCoding.from_pretrained(out)
    assert not codec.needs_tokens and not codec.predicts_tokens


def test_distillation_learns_from_features_cut_as_the_audio_is(toy_task, tmp_path, monkeypatch):
    """Feature 0 of a frame is its token here, wherever the chunk begins; some are a frame short."""
    folder = tmp_path / "dump/semantic/toy"
    shutil.copytree(toy_task.tokenizer, folder)
    KMeans(torch.zeros(8, 2)).save(folder / "centroids.safetensors")
    streams = {}
    for part in ("train", "valid"):
        tokens = read_tokens(toy_task.tokenizer / part / "semantic.scp")
        features = {
            utt: np.stack([ids, 0 * ids], 1)[: len(ids) - index % 2].astype(np.float32)
            for index, (utt, ids) in enumerate(tokens.items())
        }
        place = folder / part / "features/features.scp"
        made = partial(map, features.__getitem__)
        write_arks(place, dict.fromkeys(features, 0), "", made, np.float32)
        streams[f"{part}_data_path_and_name_and_type"] = [
            [str(toy_task.folder / "dump/raw" / part / "wav.scp"), "audio", "sound"],
            [str(folder / part / "semantic.scp"), "semantic", "kaldi_ark"],
            [str(folder / part / "features/features.scp"), "features", "kaldi_ark"],
        ]
    seen = []
    own = FeatureDistillation.teacher

    def teacher(self, semantic, features):
        seen.append((semantic, features))
        return own(self, semantic, features)

    monkeypatch.setattr(FeatureDistillation, "teacher", teacher)
    options = {
        "codec_conf": variant(toy_task, assignment="none", distillation={"target": "features"}),
        "semantic_tokenizer": str(folder),
        "max_epoch": 1,
    }
    out = toy_task.train(tmp_path / "distilled", **options, **streams)
    assert len(seen) >= 3
    for tokens, features in seen:
        assert features.shape == (*tokens.shape, 2)
        known = (tokens >= 0) & (features[..., 0] == tokens)
        # The last frame of those that are short is repeated; padding is zero.
        assert known.sum() >= (tokens >= 0).sum() - len(tokens)
        assert not features[tokens < 0].any()
    codec = AudioCoding.from_pretrained(out)
    assert not codec.needs_tokens
    with pytest.raises(TokenError, match="run stages 3 to 5 with --keep_features true"):
        toy_task.train(
            tmp_path / "without",
            **options,
            **{name: paths[:2] for name, paths in streams.items()},
        )


@pytest.mark.parametrize(
    ("part", "conf", "causal", "window"),
    [
        ("bottleneck", TRANSFORMER | {"window": 11}, False, 11),
        ("bottleneck", SMALL | {"hidden": 8, "heads": 2, "context_frames": 11}, True, 11),
        ("bottleneck", SMALL | {"hidden": 8, "heads": 2}, True, 250),
        ("predistillation", {"transformer": TRANSFORMER | {"window": 12}}, False, 12),
        ("predistillation", {"transformer": SMALL | {"hidden": 8, "heads": 2}}, False, 150),
    ],
)
def test_a_window_longer_than_a_chunk(toy_task, tmp_path, part, conf, causal, window):
    conf = variant(toy_task, **{part: conf}, causal=causal)
    message = rf"{part}.*: a window of {window} frames is longer than the training chunks of 10"
    with pytest.raises(ConfigError, match=message):
        toy_task.train(tmp_path / "exp", codec_conf=conf)

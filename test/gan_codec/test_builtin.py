"""ESPnet's own codecs behind the same interface."""

import numpy as np
import pytest
import torch
import yaml
from espnet2.gan_codec.encodec.encodec import Encodec

from espnet_stacodec.errors import ConfigError, ModelError
from espnet_stacodec.gan_codec.builtin import BuiltinGenerator
from espnet_stacodec.inference.audio_coding import AudioCoding


@pytest.fixture
def encodec(tiny_encodec_conf) -> Encodec:
    torch.manual_seed(0)
    codec = Encodec(**tiny_encodec_conf).eval()
    for layer in codec.generator.quantizer.vq.layers:
        layer._codebook.embed.normal_()
        layer._codebook.inited.fill_(1)
    return codec


@pytest.fixture
def experiment(encodec, tiny_encodec_conf, tmp_path):
    config = {
        "codec": "encodec",
        "codec_conf": tiny_encodec_conf,
        "best_model_criterion": [["valid", "mel_loss", "min"]],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    state = {f"codec.{name}": value for name, value in encodec.state_dict().items()}
    torch.save(state, tmp_path / "valid.mel_loss.best.pth")
    return tmp_path


def noise(length: int) -> np.ndarray:
    return np.random.default_rng(length).normal(0, 0.1, length).astype(np.float32)


def test_codes_and_audio_are_those_of_espnet(encodec, experiment):
    coding = AudioCoding.from_pretrained(experiment)
    assert coding.codebook_sizes == [16, 16] and coding.bits_per_second() == 50 * 2 * 4
    assert not coding.needs_tokens and not coding.predicts_tokens
    assert coding.codebook_vectors() == []
    wave = noise(16000)
    codes = coding.encode(wave, 16000)
    with torch.inference_mode():
        expected = encodec.encode(torch.from_numpy(wave)[None, None])
        audio = encodec.decode(expected)
    assert torch.equal(codes, expected[:, 0])
    assert torch.equal(coding.decode(codes, 15990), audio[0, 0, :15990])


def test_padding_changes_nothing(encodec):
    """ESPnet pads with reflections: an item of a padded batch must be encoded alone."""
    generator = BuiltinGenerator(encodec)
    waves = [torch.from_numpy(noise(n)) for n in (3200, 6400)]
    batch = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True).unsqueeze(1)
    with torch.inference_mode():
        codes = generator.codes(batch, num_samples=torch.tensor([3200, 6400]))
        for row, wave in enumerate(waves):
            alone = generator.codes(wave[None, None])[:, 0]
            assert torch.equal(codes[:, row, : alone.shape[1]], alone)
        assert (codes[:, 0, 10:] == -1).all()
        audio = generator.decode(codes, torch.tensor([10, 20]))
        assert torch.equal(audio[:1, :, :3200], generator.decode(codes[:, :1, :10]))
        assert torch.equal(audio[1:], generator.decode(codes[:, 1:]))


def test_the_discriminator_is_not_kept(encodec):
    names = [name for name, _ in BuiltinGenerator(encodec).named_parameters()]
    assert names and not any("discriminator" in name for name in names)


def test_errors_name_the_configuration(experiment):
    path = experiment / "config.yaml"
    config = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(config | {"codec": "encodek"}))
    with pytest.raises(ConfigError, match=r"config.yaml: codec 'encodek' is unknown; known are"):
        AudioCoding.from_pretrained(experiment)
    path.write_text(yaml.safe_dump(config | {"codec_conf": {"lambda": 1}}))
    with pytest.raises(ConfigError, match=r"config.yaml: codec_conf: unknown key lambda"):
        AudioCoding.from_pretrained(experiment)
    config["codec_conf"]["generator_params"]["quantizer_bins"] = 8
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ModelError, match="cannot be loaded as this codec"):
        AudioCoding.from_pretrained(experiment)

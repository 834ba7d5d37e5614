"""Recognizers of transformers and ESPnet, tiny and random: what they say is what they say."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from espnet_stacodec.errors import ModelError
from espnet_stacodec.evaluation.recognizer import open_recognizer, recognizer_once

LETTERS = ["<pad>", "<s>", "</s>", "<unk>", "|", *"abcdefg"]


@pytest.fixture
def wave(noise) -> np.ndarray:
    return noise(16000)


@pytest.fixture(scope="module")
def ctc_model(tmp_path_factory) -> Path:
    """A folder with a random wav2vec 2.0 for CTC and its processor."""
    from transformers import (
        Wav2Vec2Config,
        Wav2Vec2CTCTokenizer,
        Wav2Vec2FeatureExtractor,
        Wav2Vec2ForCTC,
        Wav2Vec2Processor,
    )

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("ctc")
    (folder / "vocab.json").write_text(json.dumps({x: i for i, x in enumerate(LETTERS)}))
    tokenizer = Wav2Vec2CTCTokenizer(str(folder / "vocab.json"))
    Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer).save_pretrained(folder)
    config = Wav2Vec2Config(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        conv_dim=[8] * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
        vocab_size=len(LETTERS),
        pad_token_id=0,
    )
    Wav2Vec2ForCTC(config).save_pretrained(folder)
    return folder


def test_a_transformers_model_for_ctc(ctc_model, wave):
    from transformers import AutoModelForCTC, AutoProcessor

    words = open_recognizer(ctc_model)(wave)
    processor, model = (
        kind.from_pretrained(ctc_model) for kind in (AutoProcessor, AutoModelForCTC)
    )
    inputs = processor(wave, sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        tokens = model(**inputs).logits.argmax(-1)
    assert words == processor.batch_decode(tokens)[0].strip() and words


def test_audio_of_more_than_thirty_seconds(ctc_model, noise):
    assert isinstance(open_recognizer(ctc_model)(noise(31 * 16000)), str)


def test_it_is_loaded_once(ctc_model):
    assert recognizer_once(ctc_model, "{}", "cpu") is recognizer_once(ctc_model, "{}", "cpu")


def test_an_espnet_checkpoint(tmp_path, wave):
    from espnet2.bin.asr_inference import Speech2Text
    from espnet2.tasks.asr import ASRTask

    (tmp_path / "tokens.txt").write_text("<blank>\n<unk>\na\nb\n<space>\n<sos/eos>\n")
    options = {
        "output_dir": tmp_path / "exp",
        "token_list": tmp_path / "tokens.txt",
        "token_type": "char",
        "dry_run": "true",
        "encoder": "rnn",
        "encoder_conf": "{num_layers: 1, hidden_size: 8, output_size: 8}",
        "decoder": "rnn",
        "decoder_conf": "{hidden_size: 8}",
        "model_conf": "{ctc_weight: 0.5}",
    }
    ASRTask.main(cmd=[str(word) for key, value in options.items() for word in (f"--{key}", value)])
    torch.manual_seed(0)
    model, _ = ASRTask.build_model_from_file(tmp_path / "exp" / "config.yaml", None)
    checkpoint = tmp_path / "exp" / "valid.acc.best.pth"
    torch.save(model.state_dict(), checkpoint)
    decoding = {"beam_size": 2, "maxlenratio": -3}
    words = open_recognizer(checkpoint, decoding)(wave)
    direct = Speech2Text(str(tmp_path / "exp" / "config.yaml"), str(checkpoint), **decoding)
    assert words == (direct(wave)[0][0] or "").strip()
    with pytest.raises(ModelError, match=r"best\.pth: the recognizer cannot be loaded"):
        open_recognizer(checkpoint, {"beam": 2})


def test_what_is_no_recognizer(tmp_path):
    with pytest.raises(ModelError, match="neither a folder with a config.json"):
        open_recognizer(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="the recognizer cannot be loaded"):
        open_recognizer(tmp_path)

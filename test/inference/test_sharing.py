"""A codec beside other code: threads, copies, the caller's settings, its start-up."""

import copy
import logging
import pickle
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from espnet_stacodec import AudioCoding
from espnet_stacodec.fileio.files import write_text
from espnet_stacodec.pretrained.codec_tokenizer import CodecTokenizer
from espnet_stacodec.semantic import tokenizer as tokenizer_module
from espnet_stacodec.semantic.backends import build_upstream
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.tokenizer import SemanticTokenizer
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig


@pytest.fixture(scope="module")
def mfcc_folder(tmp_path_factory):
    """A tokenizer that needs no weights: 8 clusters of MFCC."""
    folder = tmp_path_factory.mktemp("mfcc")
    centroids = torch.randn(8, 39, generator=torch.Generator().manual_seed(0))
    upstream = build_upstream(UpstreamConfig("mfcc", 0, 8))
    SemanticTokenizer(upstream, KMeans(centroids)).save(folder)
    return folder


@pytest.fixture
def assigned(sta_experiment, mfcc_folder):
    """The codec of `sta_experiment` with a tokenizer that runs."""
    codec = AudioCoding.from_pretrained(sta_experiment)
    codec.tokenizer = CodecTokenizer(mfcc_folder, None)
    return codec


def test_the_callers_generator_stays_as_it_was(sta_experiment):
    from espnet_stacodec.pretrained.checkpoint import load_codec
    from espnet_stacodec.pretrained.experiment import Experiment

    generator = load_codec(Experiment.open(sta_experiment)).train()
    before = {name: value.clone() for name, value in generator.state_dict().items()}
    codec = AudioCoding(generator)
    after = generator.state_dict()
    assert list(after) == list(before) and generator.training
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(p.requires_grad for p in generator.parameters())
    assert codec.fingerprint == AudioCoding.from_pretrained(sta_experiment).fingerprint


def test_results_are_ordinary_tensors(plain, noise):
    """An inference tensor could neither be changed in place nor trained on."""
    codes = plain.encode(noise(3200), 16000)
    audio = plain.decode(codes)
    latents = plain.latents(codes)
    for tensor in (codes, audio, latents):
        assert not tensor.is_inference() and not tensor.requires_grad
    audio *= 0.5
    scale = torch.ones((), requires_grad=True)
    (scale * audio).square().sum().backward()
    (scale * latents).sum().backward()
    assert scale.grad is not None and torch.isfinite(scale.grad)


@pytest.mark.parametrize("way", [copy.deepcopy, lambda c: pickle.loads(pickle.dumps(c))])
def test_copies_and_pickles_leave_the_tokenizer_behind(assigned, way, noise):
    wave = noise(5000)
    expected = assigned.encode(wave, 16000)
    assert assigned.tokenizer._loaded
    other = way(assigned)
    assert not other.tokenizer._loaded
    assert other.fingerprint == assigned.fingerprint
    assert torch.equal(other.encode(wave, 16000), expected)
    assert torch.equal(other.decode(expected), assigned.decode(expected))


def test_builtin_codecs_are_copied_and_pickled_too(toy_task, tiny_encodec_conf, tmp_path, noise):
    experiment = toy_task.train(
        tmp_path / "encodec", semantic=False, max_epoch=1, codec="encodec",
        codec_conf=tiny_encodec_conf, best_model_criterion=[["train", "loss", "min"]]
    )  # fmt: skip
    codec = AudioCoding.from_pretrained(experiment)
    codes = codec.encode(noise(3200), 16000)
    other = pickle.loads(pickle.dumps(codec))
    assert torch.equal(other.encode(noise(3200), 16000), codes)


def test_threads_share_a_codec_and_touch_nothing_of_the_process(
    assigned, monkeypatch, noise, caplog
):
    built = []

    def build(*arguments):
        built.append(threading.get_ident())
        return build_upstream(*arguments)

    monkeypatch.setattr(tokenizer_module, "build_upstream", build)
    waves = [noise(4000 + 320 * i, i) for i in range(8)]
    root, state = logging.getLogger(), (logging.getLogger().level, list(warnings.filters))
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda wave: assigned.encode(wave, 16000), waves))
    assert len(built) == 1
    assert (root.level, list(warnings.filters)) == state
    for wave, found in zip(waves, codes, strict=True):
        assert torch.equal(found, assigned.encode(wave, 16000))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_callers_default_dtype_changes_nothing(
    spd_experiment, sta_experiment, mfcc_folder, dtype, noise
):
    wave = noise(5000)

    def results():
        spd = AudioCoding.from_pretrained(spd_experiment)
        sta = AudioCoding.from_pretrained(sta_experiment)
        sta.tokenizer = CodecTokenizer(mfcc_folder, None)
        codes = [codec.encode(wave, 16000) for codec in (spd, sta)]
        audio = [codec.decode(c, 5000) for codec, c in zip((spd, sta), codes, strict=True)]
        return [spd.fingerprint, sta.fingerprint], [*codes, *audio]

    names, tensors = results()
    torch.set_default_dtype(dtype)
    try:
        other_names, others = results()
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)
    assert other_names == names
    for tensor, other in zip(tensors, others, strict=True):
        assert other.dtype == tensor.dtype and torch.equal(other, tensor)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_changes_no_tokens(assigned, dtype, noise):
    wave = noise(16000)
    codes = assigned.encode(wave, 16000)
    assigned = copy.deepcopy(assigned)  # whose tokenizer is built inside, too
    with torch.autocast("cpu", dtype):
        assert torch.equal(assigned.encode(wave, 16000), codes)


def test_a_tokenizer_gets_audio_of_its_own_rate(toy_task, tmp_path, mfcc_folder, noise):
    """A codec of 24 kHz with frames of 20 ms; its SSL model hears 16 kHz."""
    params = toy_task.codec_conf["generator_params"] | {
        "ratios": [8, 5, 4, 3], "semantic_clusters": 8
    }  # fmt: skip
    from espnet_stacodec.gan_codec.generator import STACodecGenerator

    generator = STACodecGenerator(24000, **params)
    generator(torch.randn(2, 1, 4800), torch.randint(8, (2, 10)))
    codec = AudioCoding(generator, CodecTokenizer(mfcc_folder, None))
    time = np.arange(24000) / 24000
    wave = (0.3 * np.sin(2 * np.pi * 440 * time) + 0.01 * noise(24000)).astype(np.float32)
    codes = codec.encode(wave, 24000)
    assert codes.shape == (3, 50)
    import soxr

    heard = torch.from_numpy(soxr.resample(wave, 24000, 16000, quality="VHQ"))
    assert torch.equal(codes[0], SemanticTokenizer.load(mfcc_folder)(heard))


def test_to_returns_the_codec(plain):
    assert plain.to("cpu") is plain and plain.to(torch.device("cpu")).device.type == "cpu"


def test_the_home_folder_is_found(plain_experiment, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(plain_experiment.parent))
    codec = AudioCoding.from_pretrained(f"~/{plain_experiment.name}")
    assert codec.n_codebooks == 3
    (tmp_path / "not.zip").write_text("no archive")
    monkeypatch.setenv("HOME", str(tmp_path))
    from espnet_stacodec.errors import ModelError

    with pytest.raises(ModelError, match=r"not\.zip: not a whole archive"):
        AudioCoding.from_pretrained("~/not.zip")


def test_encoding_with_spd_loads_no_model_library(spd_experiment, tmp_path):
    """What takes seconds to import and is not needed is not imported."""
    write_text(tmp_path / "run.py", """
import sys
import numpy as np
from espnet_stacodec import AudioCoding
codec = AudioCoding.from_pretrained(sys.argv[1])
codec.decode(codec.encode(np.zeros(3200, np.float32), 16000))
print(*sorted({name.split(".")[0] for name in sys.modules}))
print(*sorted(name for name in sys.modules if name.startswith("espnet2.")))
""")  # fmt: skip
    done = subprocess.run(
        [sys.executable, str(tmp_path / "run.py"), str(spd_experiment)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    packages, of_espnet = (set(line.split()) for line in done.stdout.splitlines())
    assert {"torch", "espnet2", "soundfile"} <= packages
    unneeded = {"s3prl", "transformers", "sklearn", "torchaudio", "librosa", "scipy", "matplotlib"}
    assert not packages & unneeded
    assert not [name for name in of_espnet if name.startswith(("espnet2.tasks", "espnet2.train"))]

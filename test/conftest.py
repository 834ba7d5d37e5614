"""Fixtures of all tests."""

import dataclasses
import importlib
import os
import shutil
import subprocess
import sys
import typing
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import soundfile
import torch
import yaml

import espnet_stacodec  # noqa: F401  (before ESPnet: half of what test_registration.py is about)
from espnet_stacodec import AudioCoding

pytest_plugins = ["tiny_models"]

# Small tensors: more threads only wait for each other. Processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write file names that are not UTF-8 so that a report can be sent from process to process."""
    report = yield
    report.sections = [
        (title, text.encode(errors="backslashreplace").decode()) for title, text in report.sections
    ]
    return report


SHARED = Path(__file__).resolve().parents[1].parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The development kit beside the repository: real speech, a real teacher."""
    if not SHARED.is_dir():
        pytest.skip("../shared is not there")
    return SHARED


@pytest.fixture(scope="session")
def reference(shared: Path):
    """Weights by name of a small published STACodec, and arrays that it made from one input."""
    import torch
    from omegaconf import base, dictconfig, listconfig, nodes

    folder = shared / "parity"
    if not (folder / "small_sta.th").exists():
        pytest.skip("../shared/parity is not there")
    trusted: list[Any] = [
        dictconfig.DictConfig, listconfig.ListConfig, base.ContainerMetadata, base.Metadata,
        nodes.AnyNode, dict, list, int, (typing.Any, "typing.Any"),
        (lambda *args: {}, "collections.defaultdict"),
    ]  # fmt: skip
    with torch.serialization.safe_globals(trusted):
        checkpoint = torch.load(folder / "small_sta.th", map_location="cpu", weights_only=True)
    return checkpoint["best_state"]["model"], dict(np.load(folder / "small_sta_2s.npz"))


class ToyUtterance(Protocol):
    """Makes audio (frames * hop,) float32 and tokens (frames,) int32 in [0, 8) from a seed."""

    def __call__(self, seed: int, frames: int, hop: int = 320) -> tuple[np.ndarray, np.ndarray]: ...


@pytest.fixture(scope="session")
def toy_utterance() -> ToyUtterance:
    """Utterances whose tokens carry what is heard: each lasts some frames and sets the pitch."""

    def make(seed: int, frames: int, hop: int = 320) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng(seed)

        def held(values: np.ndarray) -> np.ndarray:
            return np.repeat(values, rng.integers(2, 6, frames))[:frames]

        tokens = held(rng.integers(8, size=frames))
        loudness = np.repeat(held(rng.uniform(0.05, 0.25, frames)), hop)
        # Whole periods in a frame: the same token makes the same frame.
        phase = 2 * np.pi * np.cumsum(np.repeat(tokens + 1, hop) / hop)
        audio = loudness * np.sin(phase) + 1e-3 * rng.standard_normal(frames * hop)
        return audio.astype(np.float32), tokens.astype(np.int32)

    return make


@pytest.fixture(scope="session")
def tiny_codec_conf() -> dict[str, Any]:
    """A codec_conf that trains at once; without the number of semantic tokens. Read only."""
    return {
        "sampling_rate": 16000,
        "generator_params": {
            "dimension": 8,
            "n_filters": 4,
            "ratios": [8, 5, 4, 2],
            "lstm_layers": 1,
            "n_codebooks": 3,
            "codebook_size": 16,
        },
        "discriminator_params": {
            "filters": 2,
            "n_ffts": [256, 128],
            "hop_lengths": [64, 32],
            "win_lengths": [256, 128],
        },
    }


@pytest.fixture(scope="session")
def tiny_encodec_conf() -> dict[str, Any]:
    """A codec_conf of ESPnet's encodec that trains at once. Read only."""
    return {
        "sampling_rate": 16000,
        "generator_params": {
            "hidden_dim": 8,
            "encdec_n_filters": 4,
            "encdec_ratios": [8, 5, 4, 2],
            "quantizer_n_q": 2,
            "quantizer_bins": 16,
            "quantizer_target_bandwidth": [0.4],
        },
        "discriminator_params": {
            "msstft_discriminator_params": {
                "filters": 2,
                "n_ffts": [256],
                "hop_lengths": [64],
                "win_lengths": [256],
            }
        },
        "mel_loss_params": {"fs": 16000, "range_start": 6, "range_end": 9},
    }


class ToyTask:
    """A data set of a few utterances in the recipe's layout, and its trainings.

    Attributes:
        folder: dump/{raw,semantic/toy}/{train,valid} lie here.
        tokenizer: The folder of the tokens' tokenizer, with 8 tokens.
    """

    # Frames of each utterance: one as long as a chunk, shorter, and longer.
    FRAMES = {"train": (10, 7, 43, 25, 31, 38), "valid": (50, 60)}  # noqa: RUF012

    def __init__(self, folder: Path, utterance: ToyUtterance, codec_conf: dict[str, Any]) -> None:
        import kaldiio
        import soundfile

        from espnet_stacodec.fileio.files import write_scp, write_text

        self.folder = folder
        self.tokenizer = folder / "dump" / "semantic" / "toy"
        self.codec_conf = codec_conf
        write_text(self.tokenizer / "tokenizer.yaml", "name: toy\nnum_clusters: 8\n")
        for part, lengths in self.FRAMES.items():
            raw, semantic = folder / "dump" / "raw" / part, self.tokenizer / part
            raw.mkdir(parents=True)
            semantic.mkdir(parents=True)
            made = {f"{part}{i}": utterance(i, frames) for i, frames in enumerate(lengths)}
            for utt_id, (audio, _) in made.items():
                # A few samples less: the last frame is a partial one.
                soundfile.write(raw / f"{utt_id}.wav", audio[:-7], 16000, "FLOAT")
            write_scp(raw / "wav.scp", {utt_id: raw / f"{utt_id}.wav" for utt_id in made})
            shapes = {utt_id: len(audio) - 7 for utt_id, (audio, _) in made.items()}
            write_scp(folder / "stats" / part / "audio_shape", shapes)
            names = f"ark,scp:{semantic}/semantic.1.ark,{semantic}/semantic.scp"
            with kaldiio.WriteHelper(names) as writer:
                for utt_id, (_, tokens) in made.items():
                    writer(utt_id, tokens)

    def options(self, out_dir: Path, semantic: bool = True, **changes: Any) -> list[str]:
        """Return the command line of a training; `changes` are ESPnet's options."""
        import yaml

        dump = self.folder / "dump"
        streams = {
            part: [[str(dump / "raw" / part / "wav.scp"), "audio", "sound"]] for part in self.FRAMES
        }
        if semantic:
            for part, names in streams.items():
                scp = self.tokenizer / part / "semantic.scp"
                names.append([str(scp), "semantic", "kaldi_ark"])
        conf = {
            "codec": "stacodec",
            "codec_conf": self.codec_conf | changes.pop("codec_conf", {}),
            "train_data_path_and_name_and_type": streams["train"],
            "valid_data_path_and_name_and_type": streams["valid"],
            "train_shape_file": [str(self.folder / "stats" / "train" / "audio_shape")],
            "valid_shape_file": [str(self.folder / "stats" / "valid" / "audio_shape")],
            "semantic_tokenizer": str(self.tokenizer) if semantic else None,
            "optim": "adam",
            "optim2": "adam",
            "batch_size": 4,
            "batch_type": "unsorted",
            "chunk_length": "3200",
            "chunk_shift_ratio": 1.0,
            "num_cache_chunks": 16,
            "num_scored_utts": 1,
            "max_epoch": 2,
            "num_workers": 0,
            "seed": 3,
            "use_matplotlib": False,
            "use_tensorboard": False,
            "best_model_criterion": [["valid", "mel_loss", "min"]],
        }
        config = self.folder / f"{out_dir.name}.yaml"
        config.write_text(yaml.safe_dump(conf | changes))
        return ["--config", str(config), "--output_dir", str(out_dir)]

    def train(self, out_dir: Path, **changes: Any) -> Path:
        """Train in this process; return `out_dir`."""
        from espnet_stacodec.tasks.stacodec import STACodecTask

        STACodecTask.main(cmd=self.options(out_dir, **changes))
        return out_dir


@pytest.fixture(scope="session")
def toy_task(
    tmp_path_factory: pytest.TempPathFactory,
    toy_utterance: ToyUtterance,
    tiny_codec_conf: dict[str, Any],
) -> ToyTask:
    """Data for trainings of a second."""
    return ToyTask(tmp_path_factory.mktemp("toy"), toy_utterance, tiny_codec_conf)


@pytest.fixture(scope="session")
def sta_experiment(toy_task: ToyTask) -> Path:
    """An experiment of two epochs with semantic tokens; read only."""
    return toy_task.train(toy_task.folder / "exp" / "sta")


@pytest.fixture(scope="session")
def assigned_experiment(sta_experiment: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`sta_experiment` with a tokenizer that can be run, of 8 clusters of MFCC; read only."""
    from espnet_stacodec.semantic.backends import build_upstream
    from espnet_stacodec.semantic.kmeans import KMeans
    from espnet_stacodec.semantic.tokenizer import SemanticTokenizer
    from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig

    folder = tmp_path_factory.mktemp("assigned") / "exp"
    shutil.copytree(sta_experiment, folder, ignore=shutil.ignore_patterns("semantic"))
    upstream = build_upstream(UpstreamConfig("mfcc", 0, 8))
    centroids = 10 * torch.randn(8, 39, generator=torch.Generator().manual_seed(0))
    made = SemanticTokenizer(upstream, KMeans(centroids))
    made.save(folder / "semantic")
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["codec_conf"]["semantic_fingerprint"] = made.kmeans.fingerprint
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="session")
def plain_experiment(toy_task: ToyTask) -> Path:
    """An experiment of one epoch of plain residual quantization; read only."""
    plain = toy_task.codec_conf["generator_params"] | {"assignment": "none"}
    return toy_task.train(
        toy_task.folder / "exp" / "plain",
        semantic=False,
        max_epoch=1,
        codec_conf={"generator_params": plain},
    )


@pytest.fixture(scope="session")
def spd_experiment(toy_task: ToyTask) -> Path:
    """An experiment of one epoch with both transformers, which predicts its tokens; read only."""
    transformer = {"hidden": 8, "heads": 2, "feed_forward": 12, "window": 10, "overlap": 3}
    transformer["layers"] = 1
    changes = {"bottleneck": transformer, "predistillation": {"transformer": transformer}}
    params = toy_task.codec_conf["generator_params"] | changes
    return toy_task.train(
        toy_task.folder / "exp" / "spd", max_epoch=1, codec_conf={"generator_params": params}
    )


@pytest.fixture(scope="session")
def streaming_experiment(toy_task: ToyTask) -> Path:
    """An experiment of a few epochs of a causal codec that predicts its tokens; read only."""
    transformer = {"hidden": 16, "heads": 2, "feed_forward": 24, "layers": 1, "context_frames": 10}
    changes: dict[str, Any] = {
        "causal": True,
        "bottleneck": transformer,
        "predistillation": {"transformer": transformer | {"lookahead_frames": 2}},
    }
    params = toy_task.codec_conf["generator_params"] | changes
    return toy_task.train(
        toy_task.folder / "exp" / "streaming",
        codec_conf={"generator_params": params},
        max_epoch=6,
        optim_conf={"lr": 3e-3},
    )


@pytest.fixture(scope="session")
def dead_temporary() -> Callable[[Path, str], Path]:
    """(folder, ending): the name of an unfinished file of a process that was killed."""
    from espnet_stacodec.fileio.temporaries import temporary_path

    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    mine = f"-{os.getpid()}-"

    def name(folder: Path, ending: str) -> Path:
        path = temporary_path(folder / f"any{ending}")
        return path.with_name(path.name.replace(mine, f"-{process.pid}-"))

    return name


class Noise(Protocol):
    """Makes (length,) float32 samples of noise from a seed."""

    def __call__(self, length: int, seed: int = 0) -> np.ndarray: ...


@pytest.fixture(scope="session")
def headless_flac() -> Callable[[Path], Path]:
    """Write 4 s of noise as FLAC whose header has no length, as what came through a pipe."""

    def write(path: Path) -> Path:
        samples = np.random.default_rng(0).normal(0, 0.1, 64000)
        soundfile.write(path, samples, 16000)
        content = bytearray(path.read_bytes())
        # The number of samples: the last 36 bits before the checksum.
        content[21] &= 0xF0
        content[22:26] = bytes(4)
        path.write_bytes(content)
        return path

    return write


@pytest.fixture(scope="session")
def noise() -> Noise:
    """Audio that no codec has seen."""

    def make(length: int, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).normal(0, 0.1, length).astype(np.float32)

    return make


@pytest.fixture(scope="session")
def plain(plain_experiment: Path) -> AudioCoding:
    """The codec of `plain_experiment`; read only."""
    return AudioCoding.from_pretrained(plain_experiment)


@pytest.fixture(scope="session")
def sta(sta_experiment: Path) -> AudioCoding:
    """The codec of `sta_experiment`; read only."""
    return AudioCoding.from_pretrained(sta_experiment)


class Opened:
    """The files that Python opens while `paths` is a list; an audit hook can never be removed."""

    paths: list[str] | None = None

    @classmethod
    def hook(cls, event: str, arguments: tuple) -> None:
        if cls.paths is not None and event == "open" and isinstance(arguments[0], str | Path):
            cls.paths.append(str(arguments[0]))


sys.addaudithook(Opened.hook)


@pytest.fixture
def spd_without_ssl(spd_experiment: Path, tmp_path: Path, monkeypatch) -> Iterator[Path]:
    """A copy of the SPD codec with a tokenizer that could be built, and must not be touched.

    The test fails if an SSL model is built, or if any file of the tokenizer is read.
    """
    from espnet_stacodec.fileio.files import write_text
    from espnet_stacodec.semantic import kmeans, tokenizer, transformers_backend
    from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig, write_info

    folder = tmp_path / "codec"
    shutil.copytree(spd_experiment, folder, ignore=shutil.ignore_patterns("semantic"))
    clusters = kmeans.KMeans(torch.arange(8 * 39, dtype=torch.float32).reshape(8, 39))
    clusters.save(folder / "semantic" / tokenizer.CENTROIDS_NAME)
    upstream = dataclasses.asdict(UpstreamConfig("mfcc", 0, 8))
    more = {"frame_rate_hz": 50.0, "feature_dim": 39, "fingerprint": clusters.fingerprint}
    write_info(folder / "semantic", upstream | more)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["codec_conf"]["semantic_fingerprint"] = clusters.fingerprint
    write_text(folder / "config.yaml", yaml.safe_dump(config))
    tokenizer.SemanticTokenizer.load(folder / "semantic")  # it could

    def touched(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the SSL model or its clusters were asked for")

    for owner, name in (
        (tokenizer.SemanticTokenizer, "__init__"),
        (tokenizer, "build_upstream"),
        (kmeans, "load_file"),  # safetensors opens files where no hook sees it
        (importlib.import_module("s3prl.nn").S3PRLUpstream, "__init__"),
        (importlib.import_module("transformers").PreTrainedModel, "__init__"),
        (transformers_backend.AutoModel, "from_pretrained"),
    ):
        monkeypatch.setattr(owner, name, touched)
    Opened.paths = []
    try:
        yield folder
        opened = [path for path in Opened.paths if path.startswith(str(folder))]
    finally:
        Opened.paths = None
    assert any(path.endswith("config.yaml") for path in opened)  # the hook sees what is read
    assert not [path for path in opened if path.startswith(str(folder / "semantic"))]

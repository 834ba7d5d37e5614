import dataclasses
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from espnet_stacodec.bin.extract_semantic import main
from espnet_stacodec.errors import ConfigError, DataError, TokenError
from espnet_stacodec.fileio import parts
from espnet_stacodec.fileio.files import read_scp, write_scp
from espnet_stacodec.parallel import Workers
from espnet_stacodec.semantic import tokenize_set
from espnet_stacodec.semantic.extract import draw_frames, extract
from espnet_stacodec.semantic.token_files import Utterance, read_tokens
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig

SETS = ("train", "test")


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "PART_ITEMS", 2)


@pytest.fixture
def config(tiny_hubert: Path) -> UpstreamConfig:
    return UpstreamConfig("tiny", 1, 6, backend="transformers", path_or_url=str(tiny_hubert))


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def times_of(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.ark")}


def test_every_utterance_has_a_token_for_each_frame(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path
) -> None:
    extract(config, dump_dir, "train", SETS, tmp_path / "out")
    for name in SETS:
        tokens = read_tokens(tmp_path / "out" / name / "semantic.scp")
        lengths = read_scp(dump_dir / name / "utt2num_samples")
        assert list(tokens) == sorted(lengths)
        for utt_id, ids in tokens.items():
            assert ids.dtype == np.int32
            assert ids.shape == (math.ceil(int(lengths[utt_id]) / 320),)


def test_two_processes_write_the_same_bytes_as_one(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for nj in (1, 2):
        (tmp_path / str(nj)).mkdir()
        monkeypatch.chdir(tmp_path / str(nj))
        with Workers(nj) as workers:
            extract(config, dump_dir, "train", SETS, "out", workers)
    assert files_of(tmp_path / "1") == files_of(tmp_path / "2")


def test_audio_of_several_sets_is_tokenized_once(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As copies of other speeds are in a set together with the audio that they are copies of."""
    both = dump_dir / "both"
    both.mkdir()
    for name in ("wav.scp", "utt2num_samples"):
        entries = read_scp(dump_dir / "train" / name) | read_scp(dump_dir / "test" / name)
        write_scp(both / name, entries)
    extract(config, dump_dir, "train", ["both"], tmp_path / "alone")
    tokenized = []

    def tokenize(*args: Any) -> np.ndarray:
        tokenized.append(args[-1].utt_id)
        return tokens_of(*args)

    tokens_of = tokenize_set._tokens_of
    monkeypatch.setattr(tokenize_set, "_tokens_of", tokenize)
    extract(config, dump_dir, "train", ["train", "both"], tmp_path / "together")
    assert sorted(tokenized) == sorted(read_scp(both / "wav.scp"))
    alone, together = (
        dict(read_tokens(tmp_path / out / "both" / "semantic.scp")) for out in ("alone", "together")
    )
    assert list(alone) == list(together)
    for utt_id, tokens in alone.items():
        np.testing.assert_array_equal(tokens, together[utt_id])


def test_an_interrupted_run_goes_on_to_the_same_files(
    config: UpstreamConfig,
    dump_dir: Path,
    tmp_path: Path,
    dead_temporary: Callable[[Path, str], Path],
) -> None:
    out = tmp_path / "out"
    extract(config, dump_dir, "train", SETS, out)
    whole, times = files_of(out), times_of(out)
    # As after a kill in the second part: no list yet, half an ark.
    (out / "train" / "semantic.scp").unlink()
    (out / "train" / "semantic.2.ark").rename(dead_temporary(out / "train", ".ark"))
    next((out / "train").glob(".semantic.2.*.offsets")).unlink()
    extract(config, dump_dir, "train", SETS, out)
    assert files_of(out) == whole
    redone = times_of(out)
    assert redone.pop("semantic.2.ark") >= times.pop("semantic.2.ark")
    assert redone == times


def test_changed_utterances_change_their_parts_only(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path, write_set: Callable[..., None]
) -> None:
    out = tmp_path / "out"
    extract(config, dump_dir, "train", SETS, out)
    times = times_of(out / "test")
    audio = {path: path.stat().st_mtime_ns for path in (dump_dir / "test" / "wav").iterdir()}
    write_set(dump_dir / "test", {"b0": 8000, "b1": 8001, "b2": 9000}, seed=2)
    for path, made in audio.items():
        if path.stem in ("b0", "b1"):  # stage 2 leaves files that are still right
            os.utime(path, ns=(made, made))
    extract(config, dump_dir, "train", SETS, out)
    assert set(read_tokens(out / "test" / "semantic.scp")) == {"b0", "b1", "b2"}
    assert times_of(out / "test")["semantic.1.ark"] == times["semantic.1.ark"]
    assert set(times_of(out / "test")) == {"semantic.1.ark", "semantic.2.ark"}


def test_audio_that_was_made_again_is_tokenized_again(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path, write_set: Callable[..., None]
) -> None:
    out = tmp_path / "out"
    extract(config, dump_dir, "train", ["test"], out)
    before = dict(read_tokens(out / "test" / "semantic.scp"))
    lengths = {utt: int(n) for utt, n in read_scp(dump_dir / "test" / "utt2num_samples").items()}
    write_set(dump_dir / "test", lengths, seed=7)  # as long, at the same paths
    extract(config, dump_dir, "train", ["test"], out)
    after = dict(read_tokens(out / "test" / "semantic.scp"))
    assert any((after[utt] != before[utt]).any() for utt in before)


def test_another_configuration_never_reuses_a_tokenizer(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path
) -> None:
    extract(config, dump_dir, "train", ["test"], tmp_path / "out")
    other = dataclasses.replace(config, layer=2, seed=3)
    with pytest.raises(ConfigError, match=r"another layer \(1 there, 2 now\), seed \(0 there"):
        extract(other, dump_dir, "train", ["test"], tmp_path / "out")


def test_a_tokenizer_fitted_anew_invalidates_its_tokens(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    extract(config, dump_dir, "train", ["test"], out)
    before = files_of(out / "test")
    (out / "tokenizer.yaml").unlink()
    extract(dataclasses.replace(config, seed=1), dump_dir, "train", ["test"], out)
    assert set(files_of(out / "test")) & {name for name in before if "offsets" in name} == set()


def test_k_means_keeps_the_features_it_has(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from espnet_stacodec.semantic import extract as module

    extract(config, dump_dir, "train", ["test"], tmp_path / "whole")

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(module.KMeans, "fit", interrupt)
        extract(config, dump_dir, "train", ["test"], tmp_path / "out")
    monkeypatch.setattr(module, "write_features", interrupt)
    extract(config, dump_dir, "train", ["test"], tmp_path / "out")
    for name in ("tokenizer.yaml", "centroids.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert not list((tmp_path / "out").glob(".fit*"))


def test_drawn_frames() -> None:
    utterances = [Utterance(f"u{i}", "", 320 * 100 * (i + 1)) for i in range(10)]
    config = UpstreamConfig("mfcc", 0, num_clusters=4, frames_per_cluster=50)
    drawn = draw_frames(config, utterances)
    assert sum(len(frames) for _, frames in drawn) == 200
    for utterance, frames in drawn:
        assert (np.diff(frames) > 0).all()
        assert 0 <= frames[0] <= frames[-1] < utterance.num_frames
    # 10 s: the first drawn utterances that reach it, all their frames.
    few = dataclasses.replace(config, fit_hours=10 / 3600, frames_per_cluster=10000)
    drawn = draw_frames(few, utterances)
    for utterance, frames in drawn:
        assert frames.tolist() == list(range(utterance.num_frames))
    assert 10 <= sum(utterance.num_samples for utterance, _ in drawn) / 16000 < 10 + 20
    other = draw_frames(dataclasses.replace(few, seed=1), utterances)
    assert [utt for utt, _ in other] != [utt for utt, _ in drawn]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("rate", "b1: .*b1.flac has 8000 Hz, not 16000; format the audio"),
        ("length", "b1: .*b1.flac has 7000 samples, utt2num_samples says 8001"),
        ("missing", "b1: .*b1.flac cannot be read .No such file"),
        ("broken", "b1.flac: not readable"),
        ("unlisted", "b1 is missing in utt2num_samples"),
    ],
)
def test_bad_audio_names_the_utterance(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path, damage: str, message: str
) -> None:
    path = dump_dir / "test" / "wav" / "b1.flac"
    if damage == "missing":
        path.unlink()
    elif damage == "broken":
        path.write_bytes(b"fLaC but not really")
    elif damage == "unlisted":
        lengths = read_scp(dump_dir / "test" / "utt2num_samples")
        del lengths["b1"]
        write_scp(dump_dir / "test" / "utt2num_samples", lengths)
    else:
        rate = 8000 if damage == "rate" else 16000
        soundfile.write(path, np.zeros(7000), rate)
    with pytest.raises(DataError, match=message):
        extract(config, dump_dir, "train", ["test"], tmp_path / "out")
    assert not (tmp_path / "out" / "test" / "semantic.scp").exists()


def test_less_audio_than_clusters(config: UpstreamConfig, dump_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="too little audio for 5000 clusters"):
        many = dataclasses.replace(config, num_clusters=5000)
        extract(many, dump_dir, "train", ["test"], tmp_path / "out")


def test_tokens_outside_the_tokenizer(
    config: UpstreamConfig, dump_dir: Path, tmp_path: Path
) -> None:
    extract(config, dump_dir, "train", ["test"], tmp_path / "out")
    info = tmp_path / "out" / "tokenizer.yaml"
    info.write_text(info.read_text().replace("num_clusters: 6", "num_clusters: 1"))
    with pytest.raises(TokenError, match=r"b\d: token \d is outside 0 to 0"):
        dict(read_tokens(tmp_path / "out" / "test" / "semantic.scp"))


def test_command_after_a_kill(tiny_hubert: Path, dump_dir: Path, tmp_path: Path) -> None:
    yaml_file = tmp_path / "tiny.yaml"
    yaml_file.write_text("backend: transformers\nupstream: tiny\nlayer: 1\nnum_clusters: 6\n")
    options = ["--config", str(yaml_file), "--path_or_url", str(tiny_hubert)]
    options += ["--dump_dir", str(dump_dir), "--sets", "train", "test", "--out_dir"]
    command = [sys.executable, "-m", "espnet_stacodec.bin.extract_semantic", *options]
    killed = tmp_path / "killed"
    process = subprocess.Popen([*command, str(killed)], stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(killed.rglob(".fit*")):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    main([*options, str(killed)])
    main([*options, str(tmp_path / "whole")])
    for name in SETS:
        again, whole = (
            dict(read_tokens(out / "tiny_l1_km6" / name / "semantic.scp"))
            for out in (killed, tmp_path / "whole")
        )
        np.testing.assert_equal(again, whole)


def test_command_prints_the_tag_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.yaml").write_text("upstream: mfcc\nlayer: 0\nnum_clusters: 6\n")
    main(["--config", str(tmp_path / "a.yaml"), "--print_tag"])
    assert capsys.readouterr().out == "mfcc_l0_km6\n"
    main(["--config", str(tmp_path / "a.yaml"), "--tag_suffix", "_other", "--print_tag"])
    assert capsys.readouterr().out == "mfcc_l0_km6_other\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "nowhere.yaml", "--sets", "test"], "nowhere.yaml: the configuration"),
        (["--config", "a.yaml"], "no sets are given"),
        (["--config", "a.yaml", "--sets", "nowhere"], "nowhere/wav.scp: not there; run stage 2"),
        (["--semantic_tokens", ".", "--path_or_url", "x"], "precomputed tokens have no checkpoint"),
    ],
)
def test_command_errors_are_one_sentence(
    options: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text("upstream: mfcc\nlayer: 0\nnum_clusters: 6\n")
    with pytest.raises(SystemExit, match=message):
        main(options)


def test_the_revision_that_is_asked_for_replaces_the_one_of_the_configuration(
    tmp_path, monkeypatch
):
    asked = []
    semantic = "espnet_stacodec.semantic"
    monkeypatch.setattr(f"{semantic}.extract.extract", lambda config, *rest: asked.append(config))
    monkeypatch.setattr(f"{semantic}.extract_features.extract_features", lambda *given: None)
    file = tmp_path / "tiny.yaml"
    file.write_text(
        "upstream: tiny\nlayer: 1\nnum_clusters: 6\nbackend: transformers\npath_or_url: a/b\n"
        "revision: v0\n"
    )
    options = ["--config", str(file), "--sets", "train"]
    for more in ([], ["--hub_revision", "v1"], ["--path_or_url", "c/d", "--hub_revision", "v2"]):
        main([*options, *more])
    found = [(config.path_or_url, config.revision) for config in asked]
    assert found == [("a/b", "v0"), ("a/b", "v1"), ("c/d", "v2")]

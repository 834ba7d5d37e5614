"""Decoding whole sets, and going on after an interruption."""

import json
import math
import shutil
from pathlib import Path

import kaldiio
import numpy as np
import pytest
import soundfile
import torch

from espnet_stacodec.bin import decode as command
from espnet_stacodec.errors import ConfigError, DataError, LengthError, StageError, TokenError
from espnet_stacodec.evaluation import metrics, resynthesis
from espnet_stacodec.evaluation.resynthesis import SetToDecode, decode_set, score_decoded
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import read_scp, write_scp
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.parallel import Workers
from espnet_stacodec.pretrained.shipped.lookup import DEFAULT_NAME, FOLDER

FAMILIES = ["pesq", "stoi", "si_sdr", "spectral"]


@pytest.fixture
def job(toy_task, plain_experiment, tmp_path, monkeypatch) -> SetToDecode:
    """The toy's two validation utterances, each a part of its own."""
    monkeypatch.setattr(resynthesis, "PART_UTTERANCES", 1)
    return SetToDecode(
        model=plain_experiment,
        model_file=None,
        wav_scp=toy_task.folder / "dump" / "raw" / "valid" / "wav.scp",
        semantic_scp=None,
        out_dir=tmp_path / "decode" / "valid",
    )


@pytest.fixture
def decoded(monkeypatch) -> list[str]:
    """The utterances that were really decoded."""
    calls: list[str] = []
    original = resynthesis._decode_one

    def note(job, device, source):
        calls.append(source.utt_id)
        return original(job, device, source)

    monkeypatch.setattr(resynthesis, "_decode_one", note)
    return calls


def with_job(job: SetToDecode, **changes) -> SetToDecode:
    return SetToDecode(**vars(job) | changes)


def run(job: SetToDecode, jobs: int = 1) -> list[dict]:
    with Workers(jobs) as workers:
        decoded = decode_set(job, workers)
        return score_decoded(job, decoded, FAMILIES, workers)


def test_codes_audio_and_scores_of_each_utterance(job, toy_task, plain_experiment):
    rows = run(job)
    assert [row["utt"] for row in rows] == ["valid0", "valid1"]
    codec = AudioCoding.from_pretrained(plain_experiment)
    for row, frames in zip(rows, toy_task.FRAMES["valid"], strict=True):
        assert row["num_samples"] == frames * 320 - 7
        assert row["encode_seconds"] > 0 and row["decode_seconds"] > 0
        assert {"pesq_wb", "pesq_nb", "stoi", "si_sdr", "mel_distance"} <= set(row)
        assert row["status"] == "ok" and row["sample_rate"] == row["sample_rate_estimate"] == 16000
        audio, rate = soundfile.read(read_scp(job.out_dir / "wav.scp")[row["utt"]])
        assert len(audio) == row["num_samples"] and rate == 16000
        codes = Codes.load(read_scp(job.out_dir / "codes.scp")[row["utt"]])
        assert codes.codes.shape == (3, frames) and codes.num_samples == row["num_samples"]
        assert codes.fingerprint == codec.fingerprint
        expected = codec.decode(codes.codes, codes.num_samples).numpy()
        np.testing.assert_allclose(audio, expected.clip(-1, 1), atol=1e-4)
    lines = (job.out_dir / "scores.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows


def test_the_caller_keeps_its_threads(job):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        run(job)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_interrupted_call_is_gone_on_with(job, decoded):
    rows = run(job)
    assert decoded == ["valid0", "valid1"]
    assert run(job) == rows and len(decoded) == 2
    next(job.out_dir.glob(".decoded.2.*.jsonl")).unlink()
    again = run(job)
    assert decoded == ["valid0", "valid1", "valid1"]
    assert again[0] == rows[0] and again[1]["stoi"] == rows[1]["stoi"]
    (job.out_dir / "wav" / "valid0.wav").unlink()
    run(job)
    assert decoded[3:] == ["valid0"]


def test_what_was_made_from_something_else_is_made_again(job, decoded, tmp_path):
    run(job)
    other = tmp_path / "other"
    shutil.copytree(job.model, other, symlinks=True)
    run(with_job(job, model=other))  # the same codec elsewhere
    assert len(decoded) == 2
    swapped = tmp_path / "wav.scp"
    audio = read_scp(job.wav_scp)
    write_scp(swapped, {"valid0": audio["valid1"], "valid1": audio["valid0"]})
    rows = run(with_job(job, wav_scp=swapped))
    assert len(decoded) == 4
    assert rows[0]["num_samples"] > rows[1]["num_samples"]


def test_another_precision_gives_other_codes_and_is_not_taken_for_the_first(job, decoded):
    job = with_job(
        job, model=FOLDER / DEFAULT_NAME
    )  # of many entries, which are close to each other
    run(job)
    made = []
    for number, precision in enumerate(("bfloat16", "float32"), 2):
        run(with_job(job, precision=precision))
        assert decoded == ["valid0", "valid1"] * number
        codec = AudioCoding.from_pretrained(DEFAULT_NAME, precision=precision)
        for name, place in read_scp(job.wav_scp).items():
            wave, rate = soundfile.read(place, dtype="float32")
            codes = Codes.load(job.files(name)[0]).codes
            np.testing.assert_array_equal(codes, codec.encode(wave, rate))
            made.append(codes)
    low, exact = np.concatenate(made[:2], 1), np.concatenate(made[2:], 1)
    assert (low != exact).any()


def test_audio_that_was_made_again_is_decoded_again(job, decoded, tmp_path):
    audio = {utt: tmp_path / f"{utt}.wav" for utt in read_scp(job.wav_scp)}
    for utt, place in read_scp(job.wav_scp).items():
        shutil.copyfile(place, audio[utt])
    write_scp(tmp_path / "wav.scp", audio)
    job = with_job(job, wav_scp=tmp_path / "wav.scp")
    run(job)
    wave, rate = soundfile.read(audio["valid1"])
    soundfile.write(audio["valid1"], -wave, rate, "FLOAT")
    run(job)
    assert decoded == ["valid0", "valid1", "valid1"]


def test_no_lists_of_a_decoding_that_is_not_whole(job, decoded, monkeypatch):
    run(job)
    monkeypatch.setattr(resynthesis, "write_audio", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(with_job(job, n_codebooks=1))
    left = {path.name for path in job.out_dir.iterdir() if path.name[0] != "."}
    assert left == {"codes", "wav", "metrics.jsonl", "provenance.yaml"}


def test_scoring_goes_on_without_decoding_again(job, decoded, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(metrics, "score", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            run(job)
    assert decoded == ["valid0", "valid1"] and not (job.out_dir / "scores.jsonl").exists()
    assert len(run(job)) == 2 == len(decoded)


def test_another_checkpoint_is_another_codec(job, decoded, toy_task, sta_experiment):
    tokens = toy_task.tokenizer / "valid" / "semantic.scp"
    for count, name in ((2, "1epoch.pth"), (4, "2epoch.pth"), (4, "2epoch.pth")):
        run(with_job(job, model=sta_experiment, semantic_scp=tokens, model_file=name))
        assert len(decoded) == count


def test_fewer_codebooks_are_another_decoding(job, decoded):
    whole = run(job)
    fewer = run(with_job(job, n_codebooks=1))
    assert len(decoded) == 4
    assert Codes.load(job.out_dir / "codes" / "valid0.npz").codes.shape[0] == 1
    assert fewer[0]["mel_distance"] != whole[0]["mel_distance"]


def test_first_codes_are_the_given_tokens(job, toy_task, sta_experiment):
    tokens = toy_task.tokenizer / "valid" / "semantic.scp"
    run(with_job(job, model=sta_experiment, semantic_scp=tokens))
    for utt_id, place in read_scp(tokens).items():
        codes = Codes.load(job.out_dir / "codes" / f"{utt_id}.npz").codes
        assert np.array_equal(codes[0], kaldiio.load_mat(place))


def copy_tokens(toy_task, folder: Path, info: str) -> Path:
    """Copy the toy's tokens to another tokenizer's folder."""
    scp = folder / "valid" / "semantic.scp"
    write_scp(scp, read_scp(toy_task.tokenizer / "valid" / "semantic.scp"))
    (folder / "tokenizer.yaml").write_text(info)
    return scp


def test_tokens_of_another_tokenizer(job, toy_task, sta_experiment, tmp_path):
    scp = copy_tokens(toy_task, tmp_path / "other", "name: other\nnum_clusters: 8\n")
    with pytest.raises(TokenError, match=r"other/valid/semantic\.scp: semantic tokenizer \w+"):
        run(with_job(job, model=sta_experiment, semantic_scp=scp))
    assert not job.out_dir.exists()


def test_tokens_that_do_not_fit_the_audio_are_named(job, toy_task, sta_experiment, tmp_path):
    scp = copy_tokens(toy_task, tmp_path / "toy", "name: toy\nnum_clusters: 8\n")
    places = read_scp(scp)
    write_scp(scp, {"valid0": places["valid0"], "valid1": places["valid0"]})
    with pytest.raises(LengthError, match="^valid1: .*50 semantic tokens for 60 codec frames"):
        run(with_job(job, model=sta_experiment, semantic_scp=scp))
    assert not (job.out_dir / "scores.jsonl").exists()


def test_stages_that_were_not_run(job, tmp_path):
    with pytest.raises(StageError, match=r"no/wav\.scp: not there; run stage 2 first"):
        run(with_job(job, wav_scp=tmp_path / "no" / "wav.scp"))
    with pytest.raises(StageError, match=r"no/semantic\.scp: not there; run stage 3"):
        run(with_job(job, semantic_scp=tmp_path / "no" / "semantic.scp"))


def test_utterances_without_tokens(job, toy_task, sta_experiment, tmp_path):
    scp = copy_tokens(toy_task, tmp_path / "toy", "name: toy\nnum_clusters: 8\n")
    write_scp(scp, {"valid0": read_scp(scp)["valid0"]})
    with pytest.raises(DataError, match=r"1 utterances of .* have no tokens \(first: valid1\)"):
        run(with_job(job, model=sta_experiment, semantic_scp=scp))


def test_audio_that_was_not_formatted(job, tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(800), 8000)
    write_scp(tmp_path / "wav.scp", {"a": tmp_path / "a.wav"})
    with pytest.raises(DataError, match=r"a\.wav: 8000 Hz instead of 16000; run stage 2"):
        run(with_job(job, wav_scp=tmp_path / "wav.scp"))


def test_the_command_writes_a_table_of_all_sets(toy_task, sta_experiment, tmp_path, capsys):
    """The experiment's tokens come from stage 3."""
    dump = toy_task.folder / "dump"
    options = ["--model", str(sta_experiment), "--dump_dir", str(dump / "raw"),
               "--semantic_dir", str(toy_task.tokenizer), "--out_dir", str(tmp_path),
               "--metrics", "stoi", "si_sdr"]  # fmt: skip
    command.main([*options, "--sets", "valid"])
    table = capsys.readouterr().out
    assert table == (tmp_path / "RESULTS.md").read_text()
    assert f"# Resynthesis with {sta_experiment}" in table and "| utterances | 2 |" in table
    assert "| kbit/s | 0.55 |" in table
    with pytest.raises(SystemExit) as end:
        command.main([*options, "--sets", "test"])
    assert "test/wav.scp: not there; run stage 2 first" in str(end.value.code)
    with pytest.raises(SystemExit) as end:
        command.main([*options, "--sets", "valid", "--nj", "0"])
    assert "set --nj 1 or more" in str(end.value.code)
    with pytest.raises(ConfigError):
        command.main([*options, "--sets", "valid", "--nj", "0", "--debug"])
    scores = json.loads((tmp_path / "results.json").read_text())["sets"]["valid"]
    assert scores["kbps"] == pytest.approx(0.55, abs=0.01) and scores["rtf_encode"] > 0
    assert "pesq_wb" not in scores and len(scores["stoi_interval"]) == 2


def test_a_metric_that_is_not_defined_is_null(job, monkeypatch):
    monkeypatch.setattr(metrics, "pesq_wb", lambda reference, estimate: math.nan)
    assert [row["pesq_wb"] for row in run(job)] == [None, None]
    lines = (job.out_dir / "scores.jsonl").read_text().splitlines()
    assert all('"pesq_wb": null' in line for line in lines)

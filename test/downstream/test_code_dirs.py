"""Codes as ESPnet's discrete-token recipes read them."""

import os
import shutil

import kaldiio
import numpy as np
import pytest
import soundfile
import torch
import yaml
from safetensors.numpy import load_file

from espnet_stacodec.downstream.code_dir_info import VECTORS_NAME, CodesInfo
from espnet_stacodec.downstream.code_dirs import (
    dump_codes,
    flatten_codes,
    read_codes,
    tokens_as_codes,
    unflatten_codes,
)
from espnet_stacodec.errors import DataError, StageError, TokenError
from espnet_stacodec.fileio.files import read_scp, write_scp
from espnet_stacodec.gan_codec.generator import STACodecGenerator
from espnet_stacodec.inference.audio_coding import AudioCoding
from espnet_stacodec.pretrained.shipped.lookup import DEFAULT_NAME, FOLDER
from espnet_stacodec.semantic.kmeans import KMeans
from espnet_stacodec.semantic.tokenizer import CENTROIDS_NAME


def test_flat_codes_by_hand():
    flat = flatten_codes(np.array([[0, 1], [3, 2]]), [4, 4])
    assert flat.dtype == np.int32
    assert flat.tolist() == [2, 9, 3, 8]


def test_codes_come_back_from_codebooks_of_different_sizes():
    codes = np.array([[0, 4, 2], [1, 0, 1], [6, 5, 0]])
    np.testing.assert_array_equal(
        unflatten_codes(flatten_codes(codes, [5, 2, 7]), [5, 2, 7]), codes
    )


def test_a_flat_code_is_its_line_in_the_token_list():
    tokens = CodesInfo([2, 3], 50.0, "f", [1, 2]).token_list()
    assert tokens[:2] == ["<blank>", "<unk>"]
    assert tokens[-1] == "<sos/eos>"
    flat = flatten_codes(np.array([[1], [2]]), [2, 3])
    assert [tokens[code] for code in flat] == ["<q0_1>", "<q1_2>"]


def test_flat_codes_of_other_codebooks_are_refused():
    with pytest.raises(TokenError, match="not whole frames of 2"):
        unflatten_codes(np.array([2, 3, 4]), [4, 4])
    with pytest.raises(TokenError, match=r"sizes \[4, 4\]"):
        unflatten_codes(np.array([2, 3]), [4, 4])


@pytest.fixture
def labelled(toy_task, tmp_path):
    """The toy data with the lists that stage 2 writes beside the audio."""
    for part in toy_task.FRAMES:
        source, folder = toy_task.folder / "dump" / "raw" / part, tmp_path / "raw" / part
        wav = read_scp(source / "wav.scp")
        write_scp(folder / "wav.scp", wav)
        write_scp(folder / "text", dict.fromkeys(wav, "HELLO WORLD"))
        write_scp(folder / "utt2spk", {utt: utt for utt in wav})
        write_scp(folder / "intent", dict.fromkeys(wav, "greet"))
    return tmp_path


def test_dump_codes(sta_experiment, toy_task, labelled):
    out = labelled / "codes"
    parts = list(toy_task.FRAMES)
    dump_codes(sta_experiment, labelled / "raw", toy_task.tokenizer, parts, out)

    info = CodesInfo.read(out)
    sizes = info.codebook_sizes
    assert sizes == [16, 16, 16] and info.codebooks == [1, 2, 3]
    assert (out / "token_list" / "src_tokens.txt").read_text().split() == info.token_list()
    for part, frames in toy_task.FRAMES.items():
        places = read_scp(out / part / "codes.scp")
        tokens = read_scp(toy_task.tokenizer / part / "semantic.scp")
        for utt_id, length in zip(places, frames, strict=True):
            codes = unflatten_codes(kaldiio.load_mat(places[utt_id]), sizes)
            assert codes.shape == (3, length)
            np.testing.assert_array_equal(codes[0], kaldiio.load_mat(tokens[utt_id]))
        assert set(read_scp(out / part / "slu_text").values()) == {"greet HELLO WORLD"}


def test_the_entries_of_the_codebooks_decode_the_codes(sta_experiment, toy_task, labelled):
    out = labelled / "codes"
    dump_codes(sta_experiment, labelled / "raw", toy_task.tokenizer, ["valid"], out)
    books = load_file(out / VECTORS_NAME)
    assert {name: entries.shape for name, entries in books.items()} == {
        "1": (16, 8), "2": (16, 8), "3": (16, 8),
    }  # fmt: skip
    place = next(iter(read_scp(out / "valid" / "codes.scp").values()))
    codes = unflatten_codes(kaldiio.load_mat(place), [16, 16, 16])
    latents = sum(books[str(number)][layer] for number, layer in enumerate(codes, 1))
    generator = AudioCoding.from_pretrained(sta_experiment).generator
    assert isinstance(generator, STACodecGenerator)
    decoded = generator.quantizer.decode(torch.from_numpy(codes)[:, None])[0].T
    torch.testing.assert_close(torch.from_numpy(latents), decoded)


def test_sets_without_transcripts_are_encoded(plain_experiment, toy_task, labelled):
    for part in toy_task.FRAMES:
        (labelled / "raw" / part / "text").unlink()
    dump_codes(plain_experiment, labelled / "raw", None, ["valid"], labelled / "codes")
    names = {path.name for path in (labelled / "codes" / "valid").glob("[!.]*")}
    assert {"codes.scp", "utt2spk", "intent"} < names and not {"text", "slu_text"} & names


def test_dump_codes_again_does_nothing(sta_experiment, toy_task, labelled):
    out = labelled / "codes"
    dump_codes(sta_experiment, labelled / "raw", toy_task.tokenizer, ["valid"], out)
    ark = out / "valid" / "codes.1.ark"
    before = ark.stat().st_mtime_ns
    dump_codes(sta_experiment, labelled / "raw", toy_task.tokenizer, ["valid"], out)
    assert ark.stat().st_mtime_ns == before


def test_codes_of_another_precision_are_made_anew(toy_task, labelled):
    out = labelled / "codes"
    # Of many entries, which are close to each other.
    arguments = (FOLDER / DEFAULT_NAME, labelled / "raw", None, ["valid"], out)
    dump_codes(*arguments)
    exact, _ = read_codes(out / "valid" / "codes.scp")
    dump_codes(*arguments, precision="bfloat16")
    codes, _ = read_codes(out / "valid" / "codes.scp")
    assert any((codes[name] != exact[name]).any() for name in exact)
    codec = AudioCoding.from_pretrained(DEFAULT_NAME, precision="bfloat16")
    for name, place in read_scp(labelled / "raw" / "valid" / "wav.scp").items():
        wave, rate = soundfile.read(place, dtype="float32")
        np.testing.assert_array_equal(codes[name], codec.encode(wave, rate))
    made = yaml.safe_load((out / "valid" / "provenance.yaml").read_text())
    assert made["configuration"]["precision"] == "bfloat16"
    dump_codes(*arguments)
    assert "float32" in (out / "valid" / "provenance.yaml").read_text()


def test_others_can_read_what_was_written(sta_experiment, toy_task, labelled):
    before = os.umask(0o022)
    try:
        out = labelled / "codes"
        dump_codes(sta_experiment, labelled / "raw", toy_task.tokenizer, ["valid"], out)
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in out.rglob("*") if path.is_file()}
    assert modes == dict.fromkeys(modes, 0o644) and VECTORS_NAME in modes


def test_audio_or_tokens_that_were_made_again_are_encoded_again(sta_experiment, toy_task, labelled):
    out = labelled / "codes"
    semantic = labelled / "semantic"
    shutil.copytree(toy_task.tokenizer, semantic)
    arks = {str(p): str(semantic / "valid" / p.name) for p in toy_task.tokenizer.rglob("*.ark")}
    scp = semantic / "valid" / "semantic.scp"
    places = {utt: place.rsplit(":", 1) for utt, place in read_scp(scp).items()}
    write_scp(scp, {utt: f"{arks[ark]}:{offset}" for utt, (ark, offset) in places.items()})

    def made() -> int:
        dump_codes(sta_experiment, labelled / "raw", semantic, ["valid"], out)
        return (out / "valid" / "codes.1.ark").stat().st_mtime_ns

    first = made()
    assert made() == first
    ark = semantic / "valid" / "semantic.1.ark"
    os.utime(ark, ns=(0, ark.stat().st_mtime_ns + 1))
    second = made()
    assert second > first and made() == second


def test_stages_that_were_not_run_are_named(sta_experiment, toy_task, labelled):
    def call(raw, semantic):
        dump_codes(sta_experiment, raw, semantic, ["valid"], labelled / "codes")

    with pytest.raises(StageError, match="run stage 2"):
        call(labelled / "nowhere", toy_task.tokenizer)
    with pytest.raises(StageError, match="run stage 3"):
        call(labelled / "raw", labelled / "nowhere")
    assert not (labelled / "codes").exists()


def test_an_utterance_without_tokens_is_named(sta_experiment, toy_task, labelled):
    tokens = read_scp(toy_task.tokenizer / "valid" / "semantic.scp")
    lost = labelled / "semantic" / "valid" / "semantic.scp"
    write_scp(lost, dict(list(tokens.items())[:1]))
    with pytest.raises(DataError, match=r"1 utterances of .* have no tokens \(first: valid1\)"):
        dump_codes(
            sta_experiment, labelled / "raw", labelled / "semantic", ["valid"], labelled / "codes"
        )


def test_semantic_tokens_as_codes(toy_task, labelled):
    out = labelled / "kmeans"
    semantic = labelled / "semantic"
    shutil.copytree(toy_task.tokenizer, semantic)
    centroids = torch.arange(8.0 * 3).view(8, 3)
    KMeans(centroids).save(semantic / CENTROIDS_NAME)
    tokens_as_codes(semantic, labelled / "raw", ["valid"], out)
    books = load_file(out / VECTORS_NAME)
    assert list(books) == ["1"]
    np.testing.assert_array_equal(books["1"], centroids.numpy())
    info = CodesInfo.read(out)
    assert info.codebook_sizes == [8] and len(info.token_list()) == 11
    tokens = read_scp(toy_task.tokenizer / "valid" / "semantic.scp")
    for utt_id, place in read_scp(out / "valid" / "codes.scp").items():
        codes = unflatten_codes(kaldiio.load_mat(place), [8])
        np.testing.assert_array_equal(codes[0], kaldiio.load_mat(tokens[utt_id]))

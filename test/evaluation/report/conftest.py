"""A page about two small codecs, with made-up scores."""

import json
import math

import pytest

from espnet_stacodec import AudioCoding
from espnet_stacodec.evaluation.report.page import write_report
from espnet_stacodec.evaluation.report.system import System
from espnet_stacodec.fileio.audio import read_audio, write_audio
from espnet_stacodec.fileio.code_files import Codes
from espnet_stacodec.fileio.files import read_scp, write_scp, write_text
from espnet_stacodec.parallel import Workers
from espnet_stacodec.semantic.token_files import read_tokens

SET = "train"


def decode(toy_task, experiment, worse):
    """Do stage 6 without its scores, which toy audio does not have."""
    codec = AudioCoding.from_pretrained(experiment)
    folder = experiment / "decode" / SET
    tokens = read_tokens(toy_task.tokenizer / SET / "semantic.scp")
    rows, places = [], {}
    for number, (utt, path) in enumerate(
        read_scp(toy_task.folder / "dump" / "raw" / SET / "wav.scp").items()
    ):
        wave, rate = read_audio(path)
        codes = codec.encode(wave, rate, tokens[utt] if codec.needs_tokens else None)
        Codes(codes.numpy(), len(wave), rate, codec.fingerprint).save(
            folder / "codes" / f"{utt}.npz"
        )
        write_audio(folder / "wav" / f"{utt}.wav", codec.decode(codes, len(wave)).numpy(), rate)
        places[utt] = folder / "wav" / f"{utt}.wav"
        rows.append(
            {"utt": utt, "num_samples": len(wave), "pesq_wb": 1.5 + math.sin(number) - worse,
             "stoi": 0.8 - 0.1 * worse, "si_sdr": None if number == 0 else 3.0}
        )  # fmt: skip
    write_scp(folder / "wav.scp", places)
    write_text(folder / "scores.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    summary = {"utterances": len(rows), "pesq_wb": 1.5 - worse, "pesq_wb_interval": [1.1, 1.9],
               "stoi": 0.8, "si_sdr": 3.0, "kbps": 0.55}  # fmt: skip
    results = {"title": "toy", "sets": {SET: summary}}
    write_text(folder.parent / "results.json", json.dumps(results))
    return System(experiment, SET)


@pytest.fixture(scope="session")
def systems(toy_task, sta_experiment, plain_experiment):
    """Two systems that stage 6 has decoded."""
    write_scp(
        toy_task.folder / "dump" / "raw" / SET / "text",
        {f"{SET}{i}": f"<b>words & of {i}" for i in range(6)},
    )
    return [decode(toy_task, sta_experiment, 0.0), decode(toy_task, plain_experiment, 0.3)]


@pytest.fixture(scope="session")
def pages(systems, tmp_path_factory):
    """The page of one system, and that of two."""
    folder = tmp_path_factory.mktemp("pages")
    with Workers(1) as workers:
        return [
            write_report(systems[:count], folder / f"{count}.html", workers, 2) for count in (1, 2)
        ]

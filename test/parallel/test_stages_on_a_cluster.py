"""Stages 6 and 7 on two Dask workers: what one process makes, to the byte."""

from pathlib import Path

import pytest

from espnet_stacodec.downstream.code_dirs import dump_codes
from espnet_stacodec.evaluation.resynthesis import SetToDecode, decode_set
from espnet_stacodec.fileio.files import read_scp, write_scp
from espnet_stacodec.parallel import Workers

KINDS = {".npz", ".wav", ".ark"}


@pytest.fixture
def made_by(toy_task, sta_experiment, tmp_path, monkeypatch):
    """Return a function that runs both stages in a folder and returns their files and scores."""
    wav = read_scp(toy_task.folder / "dump" / "raw" / "valid" / "wav.scp")
    write_scp(tmp_path / "raw" / "valid" / "wav.scp", wav)
    write_scp(tmp_path / "raw" / "valid" / "utt2spk", {utt: utt for utt in wav})

    def make(name: str, workers: Workers) -> tuple[dict[str, bytes], list[dict]]:
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        raw, out = tmp_path / "raw", Path("decode")  # relative, as in recipes
        semantic = toy_task.tokenizer / "valid" / "semantic.scp"
        job = SetToDecode(sta_experiment, None, raw / "valid" / "wav.scp", semantic, out)
        with workers:
            rows = decode_set(job, workers)
            dump_codes(sta_experiment, raw, toy_task.tokenizer, ["valid"], Path("codes"), workers)
        files = (path for path in Path().rglob("*") if path.suffix in KINDS)
        scores = [{k: v for k, v in row.items() if "seconds" not in k} for row in rows]
        return {str(path): path.read_bytes() for path in files}, scores

    return make


def test_codes_audio_and_scores_are_the_same(made_by, tmp_path):
    cluster = tmp_path / "local.yaml"
    cluster.write_text("env: local\n")
    files, rows = made_by("one", Workers(1))
    assert {Path(name).suffix for name in files} == KINDS
    assert made_by("two", Workers(2, cluster=cluster)) == (files, rows)

"""Released codecs give the authors' codes for every length, alone and in a batch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from espnet_stacodec import AudioCoding
from espnet_stacodec.pretrained.releases import import_checkpoint

CASES = sorted(
    path.stem for path in (Path(__file__).parents[3] / "shared" / "parity").glob("small_*_*.npz")
)


@pytest.fixture(scope="module")
def codecs(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, AudioCoding]:
    """The small published models by name."""
    folder = tmp_path_factory.mktemp("published")
    for checkpoint in (shared / "parity").glob("*.th"):
        import_checkpoint(checkpoint, folder / checkpoint.stem)
    return {path.name: AudioCoding.from_pretrained(path) for path in folder.iterdir()}


def outputs(shared: Path, case: str) -> dict[str, np.ndarray]:
    return dict(np.load(shared / "parity" / f"{case}.npz"))


@pytest.mark.parametrize("case", CASES)
def test_codes_and_audio(codecs, shared, case):
    codec, expected = codecs[case.rsplit("_", 1)[0]], outputs(shared, case)
    wave = expected["x"][0, 0]
    tokens = expected["labels"][0] if codec.needs_tokens else None
    codes = codec.encode(wave, 16000, tokens)
    assert np.array_equal(codes, expected["codes"][0])
    audio = codec.decode(codes)
    np.testing.assert_allclose(audio, expected["wav_dec"][0, 0, : len(audio)], rtol=0, atol=1e-4)
    assert len(codec.decode(codes, len(wave))) == len(wave)


def test_a_batch_gives_what_its_items_give(codecs, shared):
    cases = [case for case in CASES if case.startswith("small_sta_")]
    if not cases:
        pytest.skip("there are no published outputs")
    items = [outputs(shared, case) for case in cases]
    waves, tokens = [item["x"][0, 0] for item in items], [item["labels"][0] for item in items]
    codes = codecs["small_sta"].encode(waves, 16000, tokens, batch_size=len(waves))
    for item, found in zip(items, codes, strict=True):
        assert np.array_equal(found, item["codes"][0])


def test_padding_the_waveform_first_gives_other_codes(codecs, shared):
    """What own trainings do; it shows that the cases above can fail."""
    item = outputs(shared, "small_sta_48077samples")
    wave = np.pad(item["x"][0, 0], (0, -item["x"].shape[-1] % 320))
    codes = codecs["small_sta"].encode(wave, 16000, item["labels"][0])
    assert 0 < (codes != torch.from_numpy(item["codes"][0])).float().mean() < 0.1

"""The page without a browser: what is on it, and that it needs nothing else."""

import base64
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from matplotlib import image as plt_image

from espnet_stacodec.bin import stacodec
from espnet_stacodec.errors import ConfigError, DataError, StageError
from espnet_stacodec.evaluation.report import cards, figures, labels, media, selection, versions
from espnet_stacodec.evaluation.report.page import (
    MAX_BYTES,
    length_of_training,
    ranking_key,
    shared_utterances,
)
from espnet_stacodec.evaluation.report.system import System
from espnet_stacodec.fileio.files import write_text


def test_the_page_needs_nothing_from_elsewhere(pages):
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert len(text.encode()) < MAX_BYTES
        places = re.findall(r'(?:src|href)="([^"]{0,30})', text)
        assert places and all(place.startswith(("data:", "#")) for place in places)
        assert "@import" not in text and "url(http" not in text


def test_what_is_on_the_page(pages):
    one, two = (page.read_text(encoding="utf-8") for page in pages)
    assert one.count('class="card"') == two.count('class="card"') == 6
    assert one.count("<audio") == 6 * 4 and two.count("<audio") == 6 * 5
    assert "1.50 (1.10 to 1.90)" in one and "In brackets 95 % bootstrap intervals" in one
    assert "&lt;b&gt;words &amp; of 0" in one and "<b>words" not in one  # transcripts are no code
    assert "plain − sta" in two and "-0.30 (-0.30 to -0.30)" in two
    assert "Fidelity against meaning" in two and "Fidelity against meaning" not in one
    for heading in ("Fidelity against bitrate", "Codebooks", "Training", "Worst cases"):
        assert heading in one
    assert "STOI of 2 utterances" in one
    assert "PESQ-WB of 2 utterances" not in one  # no plot of nothing: tones have no PESQ
    assert "<tr><th>training data</th><td>train</td>" in one
    assert "<tr><th>data&#39;s fingerprints</th><td>train_audio " in one
    assert one.count("codec: stacodec\n") == 1 and two.count("codec: stacodec\n") == 2
    ids = re.findall(r'\bid="([^"]+)"', two)
    assert len(ids) == len(set(ids))


def test_the_same_page_comes_out_again(systems, pages, tmp_path):
    from espnet_stacodec.evaluation.report.page import write_report
    from espnet_stacodec.parallel import Workers

    with Workers(1) as workers:
        again = write_report(systems[:1], tmp_path / "again.html", workers, 2)
    assert again.read_bytes() == pages[0].read_bytes()


@pytest.mark.parametrize("number", [0, -1])
def test_curves_of_no_utterances_are_refused(systems, tmp_path, number):
    from espnet_stacodec.evaluation.report.page import write_report
    from espnet_stacodec.parallel import Workers

    with Workers(1) as workers, pytest.raises(ConfigError, match=rf"curve_utterances {number} is"):
        write_report(systems[:1], tmp_path / "page.html", workers, number)


def test_how_long_a_training_was_is_said_where_it_is_known():
    assert length_of_training(1, 90.0) == "1 epoch, 2 minutes"
    assert length_of_training(20, None) == "20 epochs"
    assert length_of_training(0, None) == ""  # checkpoint.pth was removed: no row, not "0 epochs"


def test_a_set_that_was_not_decoded_is_said_with_those_that_were(tmp_path):
    for name in ("a", "b"):
        write_text(tmp_path / name / "decode" / "results.json", '{"sets": {"dev": {}, "test": {}}}')
    write_text(tmp_path / "c" / "decode" / "results.json", '{"sets": {"dev": {}}}')
    for options, said in (
        (["a", "--set", "devel"], "a: --set 'devel' is unknown; known are dev, test."),
        (
            ["a", "--compare", "b", "c", "--set", "test"],
            "c: --set 'test' is unknown; known are dev.",
        ),
    ):
        paths = [str(tmp_path / word) if word in "abc" else word for word in options]
        with pytest.raises(SystemExit) as end:
            stacodec.main(["report", *paths])
        assert str(end.value).endswith(f"{tmp_path}/{said}")


def test_the_chosen_span_the_range():
    rows: dict[str, dict[str, float | str | None]]
    rows = {f"u{i:02}": {"pesq": i / 10, "num_samples": 100 - i} for i in range(20)}
    rows["silent"] = {"pesq": None, "num_samples": 999, "status": "silent"}
    chosen = selection.choose(rows, "pesq")
    assert list(chosen) == [
        *("u00", "u01", "u02"), *("u08", "u09", "u10"), *("u19", "u18", "u17"),
        *("u03", "u04", "u05"),
    ]  # fmt: skip
    assert [*chosen.values()][::3] == ["worst", "median", "best", "longest"]
    few = selection.choose(dict(list(rows.items())[:4]), "pesq")
    assert list(few.values()) == ["worst"] * 3 + ["median"]
    rows["a minute"] = {"pesq": None, "num_samples": 960000, "status": "ok"}
    assert list(selection.choose(rows, "pesq"))[9:] == ["a minute", "u03", "u04"]


def test_the_worst_have_the_largest_distance():
    rows = {utt: {"mel_distance": d, "si_sdr": d} for utt, d in zip("abc", (2, 3, 1), strict=True)}
    assert selection.ranked(rows, "mel_distance") == ["b", "a", "c"]
    assert selection.ranked(rows, "si_sdr") == ["c", "a", "b"]


def test_any_score_can_choose_utterances(systems):
    """Stage 6 may be asked for other metrics than PESQ, and ends with a page."""
    rows = {"a": {"pesq_wb": None, "dnsmos_original": 3.0, "mel_distance": 0.2, "vuv_error": 1.0}}
    assert ranking_key(systems[0], rows) == "mel_distance"
    with pytest.raises(DataError, match="no utterance has a score"):
        ranking_key(systems[0], {"a": {"pesq_wb": None}})


def test_usage_of_known_codes():
    codes = [np.array([[0, 0, 1, 1], [2, 2, 2, 2]])]
    found = figures.usage(codes, [4, 4])
    assert found["share"] == [50.0, 25.0]
    assert found["perplexity"] == pytest.approx([2.0, 1.0])


def test_a_mean_is_of_the_utterances_that_have_the_score():
    """Metrics say NaN where they are not defined, rows of stage 6 None."""
    rows: list[dict[str, float | None]]
    rows = [{"stoi": 0.5}, {"stoi": math.nan}, {"stoi": None}, {}, {"stoi": 0.7}]
    assert figures.mean_score(rows, "stoi") == pytest.approx(0.6)
    assert math.isnan(figures.mean_score(rows[1:4], "stoi"))


def test_an_assigned_codebook_has_all_information_of_the_tokens(systems):
    sta = systems[0]
    codes = {utt: sta.codes(utt) for utt in sta.rows}
    assert figures.meaning(sta, codes) == pytest.approx(100.0)
    assert figures.meaning(systems[1], codes) is None


def test_audio_is_exact_while_it_fits(noise):
    waves = {"a": noise(16000), "b": noise(8000)}
    audio, kind = media.embed_audio(waves, 16000, 1_000_000)
    assert kind == "WAV" and audio["a"].startswith("data:audio/wav;base64,")
    for limit, expected in ((30_000, 80), (18_000, 40), (9_000, 20)):
        audio, kind = media.embed_audio(waves, 16000, limit)
        assert kind == f"Opus, {expected} kbit/s" and sum(map(len, audio.values())) < limit


@pytest.mark.parametrize(("rate", "coded"), [(22050, 24000), (44100, 48000), (96000, 48000)])
def test_audio_of_a_rate_that_opus_lacks_is_resampled(noise, rate, coded):
    audio, kind = media.embed_audio({"a": noise(rate)}, rate, 30_000)
    read, of_file = soundfile.read(io.BytesIO(base64.b64decode(audio["a"].partition(",")[2])))
    assert kind.startswith("Opus") and of_file == coded
    assert len(read) == pytest.approx(coded, abs=coded / 1000)


def test_audio_that_never_fits_is_embedded_with_a_warning(noise, caplog):
    audio, kind = media.embed_audio({"a": noise(16000)}, 16000, 100)
    assert kind == "Opus, 20 kbit/s" and audio["a"]
    assert "the page's audio has 0 MB, as there is so much of it" in caplog.text


def test_pictures_are_small():
    """Four systems' versions of twelve utterances of 13 s fit beside the audio, were they noise."""
    decibels = np.random.default_rng(0).normal(-50, 10, (80, 1300))
    picture = media.spectrogram_image(decibels, 0.0)
    assert picture.startswith("data:image/webp;base64,")
    assert 12 * (1 + 4 * 2) * len(picture) < MAX_BYTES - cards.AUDIO_BYTES


def test_pictures_of_long_audio_are_as_large_as_those_of_short():
    """Of three minutes at 100 frames a second there would be more columns than WebP has."""
    decibels = np.full((80, 18001), -80.0)
    decibels[:, 9001:] = 0.0
    content = base64.b64decode(media.spectrogram_image(decibels, 0.0).partition(",")[2])
    pixels = plt_image.imread(io.BytesIO(content), format="webp")
    assert pixels.shape[:2] == (80, media.MOST_COLUMNS)
    middle = media.MOST_COLUMNS // 2
    assert pixels[:, : middle - 8, :3].max() < 20 and pixels[:, middle + 8 :, :3].min() > 150


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (["exp/codec_small"], ["small"]),
        (["exp/codec_STA_km500_seed1", "exp/codec_plain_RVQ_km500_seed1"], ["STA", "plain_RVQ"]),
        (["exp/codec_a_lr1", "exp/codec_a_lr2"], ["lr1", "lr2"]),
        (["one/codec_a", "two/codec_a"], ["one", "two"]),
        (["exp/codec_a", "exp/codec_a_b"], ["a", "a_b"]),
        (["exp/codec_a_b", "exp/codec_a_c_b"], ["a_b", "a_c_b"]),
    ],
)
def test_names_tell_experiments_apart(folders, names):
    assert labels.names_apart([Path(folder) for folder in folders]) == names


def test_an_experiment_is_not_compared_with_itself(tmp_path):
    with pytest.raises(DataError, match="one experiment is given twice"):
        labels.names_apart([tmp_path / "exp", tmp_path / "x/../exp"])


def test_token_runs_cover_the_time():
    assert cards.runs(np.array([7, 7, 3, 7])) == [(7, 0, 50), (3, 50, 75), (7, 75, 100)]
    assert versions.shown_depths(8) == [8, 4, 1]
    assert versions.shown_depths(1) == [1]


def test_what_is_missing_is_named(systems, tmp_path):
    with pytest.raises(StageError, match=r"scores\.jsonl: not there; run stage 6"):
        _ = System(tmp_path, "train").rows
    with pytest.raises(StageError, match="the originals are not there.*--dump_dir"):
        _ = System(systems[0].folder, "gone", dump_dir=tmp_path).originals
    other = System(systems[0].folder, "train")
    other.__dict__["rows"] = {"another": {}}
    with pytest.raises(DataError, match="no utterance in common"):
        shared_utterances([systems[0], other])

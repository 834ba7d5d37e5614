import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from espnet_stacodec.fileio.data_dir import DataDir

pytest.importorskip("espeakng_loader", reason="the mini extra is not installed")

LOCAL = Path(__file__).parents[2] / "egs2/mini/codec1/local"
sys.path.insert(0, str(LOCAL))

import espeak  # noqa: E402
import grammar  # noqa: E402
import make_corpus  # noqa: E402

SETS = ("train", "dev", "test")


def speak(folder: Path, *options: str, hash_seed: str = "0") -> dict:
    """Make a corpus of one speaker a set in a fresh process; return its summary."""
    audio_dir = folder / "audio"
    command = [sys.executable, str(LOCAL / "make_corpus.py"), "--max_speakers", "1", *options]
    folders = ["--audio_dir", str(audio_dir), "--data_dir", str(folder / "data")]
    env = {"PYTHONHASHSEED": hash_seed, "PATH": ""}
    subprocess.run([*command, *folders], check=True, env=env)
    return json.loads((audio_dir / "corpus.json").read_text())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("mini")
    speak(folder)
    return folder


@pytest.fixture(scope="module")
def sets(corpus) -> dict[str, DataDir]:
    return {name: DataDir.read(corpus / "data" / name) for name in SETS}


def test_a_fresh_process_speaks_the_same_bytes(corpus, tmp_path):
    speak(tmp_path, hash_seed="7")
    files = sorted((corpus / "audio").iterdir())
    assert len(files) > 3 * len(grammar.TEMPLATES)
    for path in files:
        assert path.read_bytes() == (tmp_path / "audio" / path.name).read_bytes(), path.name


def test_another_seed_speaks_other_sentences_over_the_old_ones(corpus, tmp_path):
    first = speak(tmp_path, "--seed", "1")
    assert first != json.loads((corpus / "audio/corpus.json").read_text())
    assert speak(tmp_path, "--seed", "0")["plan"] != first["plan"]


def test_what_is_complete_is_left_alone_and_what_is_not_is_spoken_again(tmp_path):
    summary = speak(tmp_path)
    path = next((tmp_path / "audio").glob("*.flac"))
    before = path.stat().st_mtime_ns
    speak(tmp_path)
    assert path.stat().st_mtime_ns == before
    path.unlink()
    assert speak(tmp_path) == summary
    assert path.exists()


def test_a_corpus_that_was_being_spoken_over_is_not_complete(tmp_path, monkeypatch):
    """Else the transcripts of one seed would be listed with audio of another."""
    (tmp_path / "corpus.json").write_text('{"plan": "of the old one"}')
    old = make_corpus.Utterance("anna-001", "anna", "lights_on", "IT IS DARK")
    (tmp_path / "anna-001.flac").touch()
    assert make_corpus.is_complete([old], tmp_path, "of the old one")

    def interrupted(utterances):
        yield old, np.zeros(1600, np.int16)
        raise KeyboardInterrupt

    monkeypatch.setattr(make_corpus, "speak", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make_corpus.speak_to_files([old, old], tmp_path, "of the new one")
    assert not make_corpus.is_complete([old], tmp_path, "of the old one")


def test_audio_is_16_khz_mono_speech_of_moderate_length(sets):
    for data_dir in sets.values():
        for path in data_dir.wav.values():
            wave, sample_rate = soundfile.read(path)
            assert (sample_rate, wave.ndim) == (16000, 1)
            assert 1.0 < len(wave) / sample_rate < 8.0
            assert np.sqrt(np.mean(wave**2)) > 0.02
            assert np.abs(wave).max() <= 0.51


def test_transcripts_are_sentences_of_their_intent(sets):
    for data_dir in sets.values():
        for utt_id, text in data_dir.text.items():
            templates = grammar.TEMPLATES[data_dir.intent[utt_id]]
            assert any(text in grammar.expand(template) for template in templates)
            assert text.replace(" ", "").isalpha() and text == text.upper()


def test_no_sentence_has_two_intents():
    spoken: dict[str, str] = {}
    for intent, templates in grammar.TEMPLATES.items():
        for template in templates:
            for sentence in grammar.expand(template):
                assert spoken.setdefault(sentence, intent) == intent


def test_sets_share_no_speaker_and_have_every_intent(sets):
    full = make_corpus.plan(seed=0)
    speakers = [{u.speaker for u in group} for group in full.values()]
    assert sum(map(len, speakers)) == len(set.union(*speakers)) >= 12
    names = [voice.name for group in make_corpus.VOICES.values() for voice in group.values()]
    assert len(set(names)) == len(names)
    for name in SETS:
        assert {u.intent for u in full[name]} == set(grammar.TEMPLATES)
        assert set(sets[name].intent.values()) == set(grammar.TEMPLATES)


@pytest.mark.parametrize("name", ["en-gb+f2", "en-us+nobody"])
def test_an_unknown_voice_is_an_error_that_names_it(name):
    # In a process of its own, as the library is one per process.
    code = (
        f"import sys; sys.path.insert(0, {str(LOCAL)!r})\n"
        "from espeak import Synthesizer, Voice\n"
        f"Synthesizer().set_voice(Voice({name!r}, 150, 50))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode != 0
    assert f"no voice '{name}'" in done.stderr


def test_every_voice_of_the_list_exists():
    synthesizer = espeak.Synthesizer()
    for group in make_corpus.VOICES.values():
        for voice in group.values():
            synthesizer.set_voice(voice)

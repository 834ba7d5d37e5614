"""Importing the package registers the codec with ESPnet, and nothing more."""

import importlib
import subprocess
import sys

import espnet_stacodec  # before ESPnet's task, as in every test: conftest.py does, too

FRESH = """
import sys
import espnet_stacodec
heavy = {"torch", "espnet2", "s3prl", "transformers", "sklearn", "numpy"} & set(sys.modules)
assert not heavy, heavy
assert "AudioCoding" in espnet_stacodec.__all__
"""


def test_the_package_alone_is_light():
    """Commands import it before they answer --help."""
    run = subprocess.run([sys.executable, "-c", FRESH], capture_output=True)
    assert run.returncode == 0, run.stderr.decode()


def test_this_package_first():
    from espnet2.tasks.gan_codec import GANCodecTask, codec_choices

    codec = codec_choices.get_class("stacodec")
    assert codec.__module__ == "espnet_stacodec.gan_codec.stacodec"
    assert "stacodec" in GANCodecTask.get_parser().format_help()


def test_espnet_first(monkeypatch):
    """The package is imported anew, as if for the first time, where ESPnet's task is there."""
    from espnet2.tasks.gan_codec import codec_choices

    known = dict(codec_choices.classes)
    del known["stacodec"]
    monkeypatch.setattr(codec_choices, "classes", known)
    for name in [name for name in sys.modules if name.split(".")[0] == "espnet_stacodec"]:
        monkeypatch.delitem(sys.modules, name)
    anew = importlib.import_module("espnet_stacodec")
    assert anew is not espnet_stacodec
    assert known["stacodec"] is sys.modules["espnet_stacodec.gan_codec.stacodec"].STACodec


def test_what_the_package_offers():
    from espnet_stacodec.inference.audio_coding import AudioCoding

    assert espnet_stacodec.AudioCoding is AudioCoding
    assert espnet_stacodec.__version__.count(".") == 2
    assert not hasattr(espnet_stacodec, "Nonsense")

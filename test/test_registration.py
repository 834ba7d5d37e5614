"""Importing the package registers the codec with ESPnet, and nothing more."""

import importlib
import subprocess
import sys

import espnet_stacodec

FRESH = """
import sys
import espnet_stacodec
heavy = {"torch", "espnet2", "s3prl", "transformers", "sklearn", "numpy"} & set(sys.modules)
assert not heavy, heavy
assert "AudioCoding" in espnet_stacodec.__all__

import espnet2.tasks.gan_codec
codec = espnet2.tasks.gan_codec.codec_choices.get_class("stacodec")
assert codec.__module__ == "espnet_stacodec.gan_codec.stacodec", codec
options = espnet2.tasks.gan_codec.GANCodecTask.get_parser().format_help()
assert "stacodec" in options
"""


def test_this_package_first_in_a_fresh_interpreter():
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", FRESH], capture_output=True)
    assert run.returncode == 0, run.stderr.decode()


def test_espnet_first(monkeypatch):
    """The package is imported anew, as if for the first time, where ESPnet's task is there."""
    from espnet2.tasks.gan_codec import codec_choices

    known = dict(codec_choices.classes)
    del known["stacodec"]
    monkeypatch.setattr(codec_choices, "classes", known)
    monkeypatch.delitem(sys.modules, "espnet_stacodec")
    anew = importlib.import_module("espnet_stacodec")
    assert anew is not espnet_stacodec
    assert "stacodec" in codec_choices.classes


def test_what_the_package_offers():
    from espnet_stacodec.inference import AudioCoding

    assert espnet_stacodec.AudioCoding is AudioCoding
    assert espnet_stacodec.__version__.count(".") == 2
    assert not hasattr(espnet_stacodec, "Nonsense")

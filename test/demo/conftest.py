"""Pages of tiny codecs: one that streams, one that hears the future."""

import pytest
from causal_codecs import build_codec, speech

for package in ("starlette", "uvicorn", "websockets"):
    pytest.importorskip(package, reason="the extra demo is not installed")

from serving import serving  # noqa: E402

from espnet_stacodec.demo.app import build_app  # noqa: E402
from espnet_stacodec.demo.coder import Coder  # noqa: E402

NAME = "<b>codec & co</b>"


@pytest.fixture(scope="session")
def streaming_codec():
    """A causal codec in float64, whose codes are no matter of rounding."""
    return build_codec()


@pytest.fixture(scope="session")
def coders(streaming_codec, plain):
    made = {"streaming": Coder(streaming_codec), "whole": Coder(plain)}
    yield made
    for coder in made.values():
        coder.close()


@pytest.fixture(scope="session")
def apps(coders):
    return {kind: build_app(coder, NAME) for kind, coder in coders.items()}


@pytest.fixture(scope="session")
def addresses(apps):
    """HOST:PORT of both pages."""
    with serving(apps["streaming"]) as streaming, serving(apps["whole"]) as whole:
        yield {"streaming": streaming, "whole": whole}


@pytest.fixture(scope="session")
def spoken():
    """(N,) int16 samples at 16 kHz, of no whole frames."""
    return (speech(16000 + 77, 5) * 2**15).round().clip(-(2**15), 2**15 - 1).astype("<i2")

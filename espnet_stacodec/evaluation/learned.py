"""Metrics of trained networks that packages of the extra `scores` bring with their weights."""

import functools
import math
import warnings
from pathlib import Path

import numpy as np

SAMPLE_RATE = 16000


def speaker_similarity(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """Return the cosine similarity of the speakers of two (N,) signals at 16 kHz.

    Embeddings are Resemblyzer's (GE2E, 256 dimensions, never negative): two recordings of one
    voice have about 0.8 to 0.9, those of different voices about 0.5 to 0.7. NaN where its voice
    detection leaves nothing of a signal.
    """
    one, other = (_embed(signal) for signal in (reference, estimate))
    if one is None or other is None:
        return {"speaker_similarity": math.nan}
    return {"speaker_similarity": float(np.dot(one, other))}


def _embed(signal: np.ndarray) -> np.ndarray | None:
    """Return the unit vector (256,) of a signal's speaker; None where there is no voice."""
    import resemblyzer

    if not signal.any():
        return None
    # Louder than full scale would wrap around in its 16-bit voice detection.
    voice = resemblyzer.preprocess_wav(np.clip(signal, -1, 1))
    return _speaker_encoder().embed_utterance(voice) if len(voice) else None


@functools.cache
def _speaker_encoder():
    with warnings.catch_warnings():
        # webrtcvad asks setuptools for its version.
        warnings.filterwarnings("ignore", "pkg_resources is deprecated")
        from resemblyzer import VoiceEncoder
    return VoiceEncoder("cpu", verbose=False).eval()


def dnsmos(reference: np.ndarray, estimate: np.ndarray) -> dict[str, float]:
    """Return DNSMOS P.835 (overall, 1 to 5) of (N,) signals at 16 kHz, which needs no reference."""
    return {"dnsmos": _dnsmos(estimate), "dnsmos_original": _dnsmos(reference)}


def _dnsmos(signal: np.ndarray) -> float:
    audio = np.clip(signal, -1, 1)
    return float(_dnsmos_networks()(audio, SAMPLE_RATE, is_personalized_MOS=False)["ovrl_mos"])


@functools.cache
def _dnsmos_networks():
    import onnxruntime
    from speechmos import dnsmos as package

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # as all work of Workers
    folder = Path(package.__file__).parent / "dnsmos_models"
    files = [str(folder / name) for name in ("sig_bak_ovr.onnx", "model_v8.onnx")]
    networks = package.DNSMOS(*files)
    networks.onnx_sess, networks.p808_onnx_sess = (
        onnxruntime.InferenceSession(file, options) for file in files
    )
    return networks

"""STACodec for ESPnet: discrete speech tokens that sound good and carry meaning.

Importing this package registers the codec, its frontends and an encoder: `--codec stacodec` then
works wherever ESPnet's `espnet2.tasks.gan_codec.codec_choices` is used, `--frontend stacodec` in
the tasks that read audio, `--frontend code_mixture` and `--encoder convolution` in ASR, SLU and
translation. ESPnet itself is imported only when it is needed.
"""

from typing import TYPE_CHECKING

import wrapt

if TYPE_CHECKING:
    from espnet_stacodec.inference.audio_coding import AudioCoding

__version__ = "0.1.0"
__all__ = ["AudioCoding", "__version__"]

# ESPnet's tasks whose frontends get raw audio. Its tasks enh_s2t and gan_tok have those of asr.
AUDIO_TASKS = (
    "aqa",
    "asr",
    "asr_transducer",
    "asvspoof",
    "cls",
    "diar",
    "lid",
    "s2st",
    "s2t",
    "s2t_ctc",
    "slu",
    "spk",
    "st",
    "uasr",
)


@wrapt.when_imported("espnet2.tasks.gan_codec")
def _register_codec(gan_codec) -> None:
    """Add the codec to ESPnet's choices; runs at once if ESPnet's task is already imported."""
    from espnet_stacodec.gan_codec.stacodec import STACodec
    from espnet_stacodec.pretrained.codec_tokenizer import CodecTokenizer

    STACodec.tokenizer_class = CodecTokenizer
    gan_codec.codec_choices.classes["stacodec"] = STACodec


@wrapt.when_imported("espnet2.tasks.asr")
@wrapt.when_imported("espnet2.tasks.mt")
@wrapt.when_imported("espnet2.tasks.slu")
def _register_code_readers(task) -> None:
    """Add the frontend and the encoder of codes to a task's choices."""
    from espnet_stacodec.encoder.convolution import ConvolutionEncoder
    from espnet_stacodec.frontend.code_mixture import CodeMixtureFrontend

    task.encoder_choices.classes["convolution"] = ConvolutionEncoder
    task.frontend_choices.classes["code_mixture"] = CodeMixtureFrontend


def _register_codec_frontend(task) -> None:
    """Add the frontend of audio to a task's choices."""
    from espnet_stacodec.frontend.stacodec import STACodecFrontend

    task.frontend_choices.classes["stacodec"] = STACodecFrontend


for _task in AUDIO_TASKS:
    wrapt.register_post_import_hook(_register_codec_frontend, f"espnet2.tasks.{_task}")


def __getattr__(name: str) -> object:
    # Importing torch and ESPnet takes seconds, which `stacodec --help` should not.
    if name == "AudioCoding":
        from espnet_stacodec.inference.audio_coding import AudioCoding

        return AudioCoding
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")

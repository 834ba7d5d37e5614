"""Which library builds an upstream: S3PRL or transformers."""

import torch
from typeguard import typechecked

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.semantic.tokenizer_info import UpstreamConfig
from espnet_stacodec.semantic.upstream import Upstream


@typechecked
def build_upstream(config: UpstreamConfig, device: str = "cpu") -> Upstream:
    """Build the upstream that `config` describes.

    Raises:
        ConfigError: If the name, the layer, the checkpoint or the device does not exist.
    """
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ConfigError(f"device: {device} was asked for, but no GPU can be used; take cpu.")
    # Each backend pulls in its own library, which takes seconds: only the one that is used.
    if config.backend == "s3prl":
        from espnet_stacodec.semantic.s3prl_backend import S3prlUpstream

        return S3prlUpstream(config, device)
    from espnet_stacodec.semantic.transformers_backend import TransformersUpstream

    return TransformersUpstream(config, device)

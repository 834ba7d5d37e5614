"""Work on many items: over processes of this machine or on a cluster, with the same results."""

from espnet_stacodec.parallel.lifetime import end_with
from espnet_stacodec.parallel.torch_settings import default_float32, one_thread
from espnet_stacodec.parallel.workers import Workers

__all__ = ["Workers", "default_float32", "end_with", "one_thread"]

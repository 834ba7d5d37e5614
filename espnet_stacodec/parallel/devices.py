"""One GPU for each process."""

import os

VISIBLE = "CUDA_VISIBLE_DEVICES"


def visible_gpus() -> list[str]:
    """Return the names of the GPUs that this process may use, as `VISIBLE` lists them."""
    listed = os.environ.get(VISIBLE)
    if listed is None:
        import torch

        return [str(index) for index in range(torch.cuda.device_count())]
    return [name.strip() for name in listed.split(",") if name.strip()]


def choose_gpu(number: int, gpus: list[str]) -> None:
    """Let this process see one of `gpus` alone, then called "cuda", before it uses any.

    Args:
        number: Of the process, from 0; processes take turns where there are fewer GPUs.
        gpus: Of this machine.
    """
    if gpus:
        os.environ[VISIBLE] = gpus[number % len(gpus)]

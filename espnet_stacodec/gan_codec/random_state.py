"""The state of torch's random numbers, to draw the same ones again for each pass of a step."""

import torch


class RandomState:
    """The state of the random numbers of a device and the host.

    Args:
        device: "cpu", "cuda" or a device.
    """

    def __init__(self, device: str | torch.device) -> None:
        self.host = torch.get_rng_state()
        self.device = torch.cuda.get_rng_state() if torch.device(device).type == "cuda" else None

    def restore(self) -> None:
        """Go back to this state."""
        torch.set_rng_state(self.host)
        if self.device is not None:
            torch.cuda.set_rng_state(self.device)

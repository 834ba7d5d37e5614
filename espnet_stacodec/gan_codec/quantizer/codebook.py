"""One codebook: nearest entry, moving averages, k-means start, dead-code replacement."""

import torch
from torch import nn

from espnet_stacodec.config import check_range

# Below this weight an entry keeps its place: sum / weight would be made of rounding errors.
SMALLEST_WEIGHT = 1e-10
WHERE = "codec_conf.generator_params.codebook"


class Codebook(nn.Module):
    """Vector quantization with a codebook that follows the frames it is given.

    The entries are buffers, not parameters: each is the moving average of the frames that were
    quantized to it (van den Oord et al., 2017, appendix A.1), kept as a running sum and a running
    count, and stays float32 under mixed precision.

    Args:
        size: Number of entries, K.
        dim: Dimension of an entry, D.
        decay: Decay of the moving averages per update.
        dead_code_threshold: An entry used less than this share of the average use is moved onto a
            frame of the current batch; 0 turns dead-code replacement off.
        kmeans_iterations: Iterations of the k-means that makes the first entries.

    Raises:
        ConfigError: If a number is out of its range.
    """

    embed: torch.Tensor
    embed_sum: torch.Tensor
    cluster_size: torch.Tensor

    def __init__(
        self,
        size: int,
        dim: int,
        decay: float = 0.99,
        dead_code_threshold: float = 0.1,
        kmeans_iterations: int = 10,
    ) -> None:
        super().__init__()
        check_range(WHERE, 0, 1, decay=decay)
        check_range(WHERE, 0, dead_code_threshold=dead_code_threshold)
        check_range(WHERE, 1, kmeans_iterations=kmeans_iterations)
        self.size = size
        self.decay = decay
        self.dead_code_threshold = dead_code_threshold
        self.kmeans_iterations = kmeans_iterations
        self.register_buffer("embed", torch.zeros(size, dim))
        self.register_buffer("embed_sum", torch.zeros(size, dim))
        self.register_buffer("cluster_size", torch.zeros(size))

    @property
    def num_choices(self) -> int:
        """How many entries can be chosen at most."""
        return self.size

    def usable(self) -> torch.Tensor:
        """Return a (K,) mask of the entries that can be chosen; here all."""
        return torch.ones_like(self.cluster_size, dtype=torch.bool)

    def choose(self, frames: torch.Tensor, tokens: torch.Tensor | None) -> torch.Tensor:
        """Return the codes (N,) of frames (N, D): the nearest entries, whatever the tokens."""
        return self.nearest(frames)

    def nearest(self, frames: torch.Tensor) -> torch.Tensor:
        """Return the index (N,) of the usable entry nearest (Euclidean) to each frame (N, D)."""
        # |x - e|^2 without |x|^2, which is the same for all entries.
        distance = self.embed.square().sum(1) - 2 * frames @ self.embed.t()
        return distance.masked_fill(~self.usable(), torch.inf).argmin(dim=1)

    def lookup(self, codes: torch.Tensor) -> torch.Tensor:
        """Return the entries (..., D) of codes (...)."""
        return nn.functional.embedding(codes, self.embed)

    @torch.no_grad()
    def initialize(self, frames: torch.Tensor, tokens: torch.Tensor | None, seed: int) -> None:
        """Place the entries on the k-means centroids of frames (N, D).

        With fewer frames than entries each frame becomes an entry; the rest repeat some of them
        with weight zero, and dead-code replacement moves them later.
        """
        if len(frames) > self.size:
            from sklearn.cluster import KMeans  # a second, which only a training should take

            fitted = KMeans(
                self.size, n_init=1, max_iter=self.kmeans_iterations, random_state=seed
            ).fit(frames.cpu().numpy())
            entries = torch.from_numpy(fitted.cluster_centers_)
            counts = torch.from_numpy(fitted.labels_).bincount(minlength=self.size)
        else:
            repeats = torch.arange(self.size, device=frames.device) % len(frames)
            entries = frames[repeats]
            counts = torch.arange(self.size) < len(frames)
        self._place(entries.to(self.embed), counts.to(self.embed))

    @torch.no_grad()
    def tally(self, frames: torch.Tensor, codes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return how many frames (N, D) chose each entry by codes (N,), and their sums.

        Frames that are not finite count nowhere: a single one would make its entry NaN for ever.

        Returns:
            (K,) counts and (K, D) sums.
        """
        finite = frames.isfinite().all(1)
        counts = torch.zeros_like(self.cluster_size).index_add_(0, codes, finite.to(frames))
        valid = frames.masked_fill(~finite.unsqueeze(1), 0.0)
        return counts, torch.zeros_like(self.embed_sum).index_add_(0, codes, valid)

    @torch.no_grad()
    def follow(self, counts: torch.Tensor, sums: torch.Tensor) -> None:
        """Let the entries follow the frames of a step: their counts (K,) and sums (K, D)."""
        self.cluster_size.lerp_(counts, 1 - self.decay)
        self.embed_sum.lerp_(sums, 1 - self.decay)
        weight = self.cluster_size.clamp(min=SMALLEST_WEIGHT).unsqueeze(1)
        followed = (self.cluster_size > SMALLEST_WEIGHT).unsqueeze(1)
        self.embed.copy_(torch.where(followed, self.embed_sum / weight, self.embed))

    def update(self, frames: torch.Tensor, codes: torch.Tensor) -> None:
        """Let the entries follow the frames (N, D) that chose codes (N,)."""
        self.follow(*self.tally(frames, codes))

    @torch.no_grad()
    def replace_dead(self, frames: torch.Tensor, seed: int) -> None:
        """Move entries that are hardly used onto random frames (N, D).

        A replaced entry starts with the average weight, so that the next update does not undo it.
        """
        average = self.cluster_size.mean()
        dead = self.cluster_size < self.dead_code_threshold * average
        generator = torch.Generator().manual_seed(seed)
        picks = torch.randint(len(frames), (self.size,), generator=generator).to(frames.device)
        entries = torch.where(dead.unsqueeze(1), frames[picks].to(self.embed), self.embed)
        self._place(entries, torch.where(dead, average, self.cluster_size))

    def statistics(self) -> dict[str, torch.Tensor]:
        """Return perplexity and usage (share of usable entries in use) of the running counts."""
        counts = self.cluster_size[self.usable()]
        share = counts / counts.sum().clamp(min=SMALLEST_WEIGHT)
        entropy = -torch.xlogy(share, share).sum()
        alive = counts >= self.dead_code_threshold * counts.mean()
        return {"perplexity": entropy.exp(), "usage": (alive & (counts > 0)).float().mean()}

    def _place(self, entries: torch.Tensor, weights: torch.Tensor) -> None:
        """Set entries (K, D), running counts (K,) and running sums so that they agree."""
        self.embed.copy_(entries)
        self.cluster_size.copy_(weights)
        self.embed_sum.copy_(entries * weights.unsqueeze(1))

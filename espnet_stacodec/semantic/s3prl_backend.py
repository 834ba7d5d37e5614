"""Any upstream of S3PRL, by name."""

import difflib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from espnet_stacodec.errors import ConfigError
from espnet_stacodec.semantic.checkpoints import Checkpoints, model_files
from espnet_stacodec.semantic.upstream import Upstream, quiet_models, short_reason

with quiet_models():
    from s3prl import hub
    from s3prl.nn import S3PRLUpstream

# How S3PRL calls the loaders that take any checkpoint: a path, an address, or either.
LOADER_SUFFIXES = ("_local", "_url", "_custom")


def available_names() -> list[str]:
    """Return the names of all upstreams, without the helpers that S3PRL's list also holds."""
    names = S3PRLUpstream.available_names()
    return sorted(name for name in names if getattr(hub, name).__module__.endswith("hubconf"))


def loader_name(upstream: str, path_or_url: str | None) -> str:
    """Return the S3PRL entry that builds `upstream` from `path_or_url`.

    A named upstream such as `wavlm_large` silently ignores a checkpoint and downloads its own:
    given one, the family's loader (`wavlm_local`) has to read it.

    Raises:
        ConfigError: If there is no such upstream, a loader has nothing to load, the family takes
            no checkpoint, or the checkpoint is an address.
    """
    if path_or_url is not None and "://" in path_or_url:
        raise ConfigError(
            f"path_or_url: '{path_or_url}' is an address that S3PRL does not know itself, and a"
            " checkpoint from anywhere is not to be trusted; download it, and give its path (and"
            " its sha256)."
        )
    names = available_names()
    if upstream not in names:
        close = difflib.get_close_matches(upstream, names, n=5, cutoff=0.5)
        hint = f"; close names: {', '.join(close)}" if close else ""
        raise ConfigError(f"upstream: S3PRL has no '{upstream}'{hint}.")
    is_loader = upstream.endswith(LOADER_SUFFIXES)
    if path_or_url is None:
        if is_loader:
            raise ConfigError(f"upstream: {upstream} needs the checkpoint to load in path_or_url.")
        return upstream
    if is_loader:
        return upstream
    family = getattr(hub, upstream).__module__.split(".")[-2]
    for name in (family + "_local", family + "_custom"):
        # The families of plain spectral features have a loader for settings, not for checkpoints.
        if name in names and family != "baseline":
            return name
    raise ConfigError(f"path_or_url: {upstream} takes no checkpoint, remove '{path_or_url}'.")


class S3prlUpstream(Upstream):
    """An upstream of `s3prl.nn.S3PRLUpstream`."""

    def _load(self) -> None:
        path = self.config.path_or_url
        name = loader_name(self.config.upstream, path)
        if path is not None and not Path(path).exists():
            # hf_* loaders also take hub ids, but of no given revision.
            hub = "; for a hub id take backend: transformers" if name.startswith("hf_") else ""
            raise ConfigError(f"path_or_url: there is no checkpoint '{path}'{hub}.")
        checkpoints = Checkpoints(self.config.sha256)
        try:
            with quiet_models(), checkpoints.watched():
                model = S3PRLUpstream(name, path_or_url=path)
        except ConfigError:
            raise
        except Exception as error:  # S3PRL's loaders raise whatever their parts raise
            source = path or "its own address"
            raise ConfigError(
                f"upstream: S3PRL cannot load {self.config.upstream} from {source}"
                f" ({short_reason(error)}); give a checkpoint that is on this machine with"
                " path_or_url."
            ) from error
        checkpoints.log()
        self.weights = checkpoints.describe()
        if not self.weights and path is not None and Path(path).is_dir():
            self.weights = model_files(path)  # transformers reads them without torch.load
        # S3PRLUpstream leaves its constructor in training mode.
        self._model = model.to(self.device).float().eval()

    @property
    def _network(self) -> torch.nn.Module:
        return self._model

    def _states_together(self, waves: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        lengths = torch.tensor([len(wave) for wave in waves], device=self.device)
        states, counts = self._model(pad_sequence(list(waves), batch_first=True), lengths)
        layer = self.config.layer
        rows = zip(states[layer], counts[layer].tolist(), strict=True)
        return [state[:count] for state, count in rows]

    def _hidden_states(self, wave: torch.Tensor) -> Sequence[torch.Tensor]:
        lengths = torch.tensor([len(wave)], device=wave.device)
        states, _ = self._model(wave.unsqueeze(0), lengths)
        return [state[0] for state in states]

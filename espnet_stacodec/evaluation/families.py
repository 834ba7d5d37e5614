"""Families of metrics by name, and what each needs: known without loading what computes them."""

import importlib.util
from collections.abc import Sequence

from typeguard import typechecked

from espnet_stacodec.config import choose
from espnet_stacodec.errors import ConfigError

# The module that computes a family, where not every installation has it.
PACKAGES: dict[str, str | None] = {
    "pesq": None,
    "stoi": None,
    "si_sdr": None,
    "spectral": None,
    "f0": "pyworld",
    "speaker": "resemblyzer",
    "dnsmos": "speechmos",
}


@typechecked
def choose_families(names: Sequence[str] | None) -> list[str]:
    """Return the families of metrics to compute: those named, or all that are installed.

    Raises:
        ConfigError: If one is unknown or not installed.
    """
    if names is None:
        return [name for name, package in PACKAGES.items() if _is_installed(package)]
    for name in names:
        package = choose(PACKAGES, name, "--metrics:")
        if not _is_installed(package):
            raise ConfigError(
                f"--metrics: {name} needs the package {package}, which is not installed;"
                " pip install 'espnet_stacodec[scores]'."
            )
    return list(dict.fromkeys(names))


def _is_installed(package: str | None) -> bool:
    return package is None or importlib.util.find_spec(package) is not None

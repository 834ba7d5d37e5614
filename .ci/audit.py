"""Print the known vulnerabilities of the versions in tools/constraints.txt, found by pip-audit.

They are printed and do not end CI: what to do about one is for people to decide. Where nothing can
be asked, that is said: `SKIPPED: ... because ...`. pip-audit itself reports "none found" where the
index knows none of the packages.
"""

import json
import logging
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TOOL = "pip-audit>=2.9,<3"
SERVICES = ("pypi", "osv")
TIMEOUT_SECONDS = 300


def summarize(report: dict[str, Any]) -> tuple[int, list[str]]:
    """Return how many packages pip-audit knew, and a line for each finding."""
    known = [package for package in report["dependencies"] if "skip_reason" not in package]
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, mended in"
        f" {', '.join(found['fix_versions']) or 'no version yet'}:"
        f" {' '.join(found['description'].split())[:200]}"
        for package in known
        for found in package["vulns"]
    ]
    return len(known), lines


def ask(uv: str, service: str) -> dict[str, Any]:
    """Return pip-audit's report.

    Raises:
        RuntimeError: With the reason, if there is none.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        command = [uv, "tool", "run", "--from", TOOL, "pip-audit", "--no-deps", "--disable-pip"]
        command += ["--requirement", str(ROOT / "tools" / "constraints.txt"), "--format", "json"]
        command += ["--vulnerability-service", service, "--progress-spinner", "off"]
        try:
            done = subprocess.run(
                [*command, "--output", str(report)],
                capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"there was no answer in {TIMEOUT_SECONDS} s") from error
        # 1 means that something was found.
        if done.returncode not in (0, 1) or not report.exists():
            raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1][:300])
        return json.loads(report.read_text(encoding="utf-8"))


def main() -> None:
    """Ask one service after the other until one knows the packages."""
    uv = shutil.which("uv") or str(ROOT / ".venv-uv" / "bin" / "uv")
    reasons = []
    for service in SERVICES if Path(uv).exists() else ():
        try:
            known, findings = summarize(ask(uv, service))
        except RuntimeError as error:
            reasons.append(f"{service}: {error}")
            continue
        if known:
            logging.info("%d packages audited (%s), %d findings", known, service, len(findings))
            sys.stdout.write("".join(f"{line}\n" for line in findings))
            return
        reasons.append(f"{service}: it knows none of the packages")
    reason = "; ".join(reasons) or f"there is no uv, neither on the PATH nor as {uv}"
    sys.stdout.write(f"SKIPPED: audit of tools/constraints.txt, because {reason}\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main()

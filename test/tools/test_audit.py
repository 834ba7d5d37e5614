"""The audit of CI says what it found, or why it could not look."""

import importlib.util
import json
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / ".ci" / "audit.py"
FINDING = {"id": "CVE-1", "fix_versions": ["2.1"], "description": "bad\nthings"}
KNOWN = {"name": "a", "version": "1.0", "vulns": []}
UNKNOWN = {"name": "b", "skip_reason": "not found on PyPI"}
FAKE = """#!/bin/sh
while [ $# -gt 0 ]; do
    case $1 in
        --output) out=$2 ;;
        --vulnerability-service) service=$2 ;;
    esac
    shift
done
[ -e "{folder}/$service.json" ] || { echo "no route to $service" >&2; exit 2; }
cp "{folder}/$service.json" "$out"
exit 1
"""


@pytest.fixture
def audit(tmp_path, monkeypatch, capsys):
    """Return a function that audits with the answers of services, and returns what is printed."""
    spec = importlib.util.spec_from_file_location("audit", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    uv = tmp_path / "uv"
    uv.write_text(FAKE.replace("{folder}", str(tmp_path)))
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    def run(**answers) -> str:
        for service, packages in answers.items():
            (tmp_path / f"{service}.json").write_text(json.dumps({"dependencies": packages}))
        module.main()
        return capsys.readouterr().out

    return run


def test_findings_are_printed(audit):
    found = audit(pypi=[KNOWN | {"vulns": [FINDING]}, UNKNOWN])
    assert found == "a 1.0: CVE-1, mended in 2.1: bad things\n"
    assert audit(pypi=[KNOWN, UNKNOWN]) == ""


def test_the_second_service_is_asked_where_the_first_knows_nothing(audit):
    found = audit(pypi=[UNKNOWN], osv=[KNOWN | {"vulns": [FINDING | {"fix_versions": []}]}])
    assert found == "a 1.0: CVE-1, mended in no version yet: bad things\n"


def test_an_audit_that_could_not_be_made_is_said(audit):
    assert audit(pypi=[UNKNOWN]) == (
        "SKIPPED: audit of tools/constraints.txt, because pypi: it knows none of the packages;"
        " osv: no route to osv\n"
    )

#!/usr/bin/env bash
# Check that the lower bounds in setup.py are enough: install the oldest versions that they allow
# into an environment of its own, .venv-lowest, and run the tests that use each of them.
# Takes ten minutes, half of them the installation, and 6 GB. Arguments replace those of pytest.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
venv=$PWD/.venv-lowest
fail() { echo "tools/test_lowest.sh: $*" >&2; exit 1; }

uv=$(command -v uv || echo .venv-uv/bin/uv)
"$uv" --version >/dev/null || fail "there is no uv; install it (\`pip install uv\`)."

# The oldest Python that setup.py allows: the oldest packages have no wheels for newer ones.
find_python() {
    local candidate
    for candidate in "${PYTHON:-python3.12}" "$(pyenv root 2>/dev/null)"/versions/3.12*/bin/python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.12 runs here; install one or set PYTHON to its path."
}

# Direct requirements as old as allowed, what they need as new as possible.
python=$(find_python)
"$uv" venv --quiet --allow-existing --python "$python" "$venv"
"$uv" pip compile --quiet --python "$venv/bin/python" --resolution lowest-direct --no-header \
    --no-annotate --extra demo setup.py >"$venv/requirements.txt"
"$uv" pip sync --quiet --python "$venv/bin/python" "$venv/requirements.txt"
"$uv" pip install --quiet --python "$venv/bin/python" --constraint "$venv/requirements.txt" pytest httpx
cat "$venv/requirements.txt"

export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} PYTHONPATH=$PWD
if (($# == 0)); then
    set -- -m "not slow" test/fileio test/semantic test/pretrained test/inference test/evaluation \
        test/train test/downstream test/frontend test/demo test/bin/test_demo_command.py
fi
exec "$venv/bin/python" -m pytest -q -p no:cacheprovider "$@"

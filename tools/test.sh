#!/usr/bin/env bash
# Check everything: shell scripts, style, types, tests. Arguments go to pytest.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/env.sh
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} # small tensors: more threads only wait for each other

failed=()
check() { # <name> <command...>
    echo "== $1"
    "${@:2}" || failed+=("$1")
}

# Links are left out: they repeat the template's files.
mapfile -t scripts < <(find tools egs2 .ci/run -type f \( -name '*.sh' -o -path .ci/run \) \
    -not -path '*/downloads/*' | sort)
syntax() {
    local script
    for script in "${scripts[@]}"; do bash -n "$script" || return; done
}

check "bash -n" syntax
check shellcheck shellcheck "${scripts[@]}"
check "ruff check" ruff check
check "ruff format" ruff format --check
check mypy mypy
# A process for each core, each with tests that stand together, which share fixtures.
check pytest python -m pytest --numprocesses auto --dist worksteal "$@"

if ((${#failed[@]})); then
    printf 'Failed: %s\n' "${failed[*]}" >&2
    exit 1
fi
echo "All checks passed."

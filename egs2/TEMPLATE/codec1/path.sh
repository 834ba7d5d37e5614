# shellcheck shell=bash
# Sourced by the stage scripts: puts the environment on PATH (made by tools/setup.sh on first use).
. "$(dirname "${BASH_SOURCE[0]}")/../../../tools/env.sh"
# As in ESPnet: several processes of one thread each are faster than one of several.
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
export PYTHONIOENCODING=UTF-8
export LC_ALL=C.UTF-8

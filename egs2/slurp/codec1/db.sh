# shellcheck shell=bash
# The clone of SLURP's repository, with its audio unpacked in audio/slurp_real; it has to be given.
SLURP=${SLURP:-}
export SLURP

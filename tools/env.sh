# shellcheck shell=bash
# Source me: puts the environment's commands on PATH, after making it where it is not there.
_stacodec_bin=$("$(dirname "${BASH_SOURCE[0]}")/setup.sh") || return 1
if [[ $PATH != "$_stacodec_bin":* ]]; then
    export PATH="$_stacodec_bin:$PATH"
fi
unset _stacodec_bin

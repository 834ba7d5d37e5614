# shellcheck shell=bash
# Source me in a stage script after giving every option its default: reads the options, sets up the
# environment, and offers fail, begin and need. The script has `stage` and `stop_stage`.
# shellcheck disable=SC2154

_arguments=("$@")
# shellcheck source=parse_options.sh
. ../../../tools/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

fail() { echo "run.sh: error: $*" >&2; exit 1; }
(($# == 0)) || fail "'$1' is not an option; see ./run.sh --help."

[[ $stage =~ ^[0-9]+$ && $stop_stage =~ ^[0-9]+$ ]] || fail "--stage and --stop_stage are numbers."
current_stage=$stage
# Also where a function fails; once, though a subshell and the shell around it both do.
set -E
trap '((BASH_SUBSHELL)) || echo "run.sh: stage $current_stage failed; to go on from there:" \
    "$(printf "%q " ./run.sh "${_arguments[@]}")--stage $current_stage" >&2' ERR
# begin N TEXT: whether stage N is selected; logs it.
begin() {
    ((stage <= $1 && stop_stage >= $1)) || return 1
    current_stage=$1
    echo "run.sh: stage $1: $2" >&2
}

# need N FILE...: the files of stage N are there.
need() {
    local file
    for file in "${@:2}"; do
        [[ -e $file ]] || fail "stage $current_stage needs $file; run stage $1 first."
    done
}

# shellcheck shell=bash
# Source me after giving every option its default:
#
#     nj=4
#     stop_stage=9
#     help_message="Usage: $0 [--nj 4] ..."
#     . parse_options.sh
#
# `--stop_stage 7`, `--stop-stage 7` and `--stop_stage=7` then set stop_stage. Lower-case variables
# that are set are the options; those that the environment has too, as http_proxy, only where
# help_message has them as `--name=`. What does not begin with `--`, and all after a bare `--`, is
# left in "$@". An unknown option ends the script with status 2.

_option_error() {
    echo "$(basename "$0"): $*" >&2
    exit 2
}

_known_options() {
    local _known _exported
    _exported=" $(compgen -A export | xargs) "
    while read -r _known; do
        [[ $_exported == *" $_known "* && ${help_message:-} != *"--$_known="* ]] || echo "$_known"
    done < <(compgen -A variable | grep -E '^[a-z][a-z0-9_]*$' | grep -vx help_message)
}

while [[ ${1:-} == --* ]]; do
    if [[ $1 == -- ]]; then
        shift
        break
    fi
    if [[ $1 == --help ]]; then
        echo "${help_message:-Options: $(_known_options | sed 's/^/--/' | xargs)}"
        exit 0
    fi
    _name=${1#--}
    _name=${_name%%=*}
    _variable=${_name//-/_}
    # No pipe: grep ends at the first that it finds, and what still writes into a pipe fails.
    grep -Fqx -- "$_variable" <<<"$(_known_options)" ||
        _option_error "unknown option --$_name; known are $(_known_options | xargs)."
    if [[ $1 == *=* ]]; then
        _value=${1#*=}
    else
        (($# > 1)) || _option_error "--$_name needs a value."
        _value=$2
        shift
    fi
    if [[ ${!_variable} =~ ^(true|false)$ && ! $_value =~ ^(true|false)$ ]]; then
        _option_error "--$_name is true or false, not '$_value'."
    fi
    printf -v "$_variable" '%s' "$_value"
    shift
done
unset _name _variable _value

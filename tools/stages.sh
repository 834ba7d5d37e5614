# shellcheck shell=bash
# Source me in a stage script after giving every option its default: reads the options, sets up the
# environment, and offers what follows. The script has `stage` and `stop_stage`, and perhaps `ngpu` and
# `train_set`.
# shellcheck disable=SC2154,SC2034

_arguments=("$@")
# shellcheck source=parse_options.sh
. ../../../tools/parse_options.sh
# shellcheck source=/dev/null
. ./path.sh

fail() { echo "run.sh: error: $*" >&2; exit 1; }
(($# == 0)) || fail "'$1' is not an option; see ./run.sh --help."

# whole_numbers NAME...: these options are whole numbers; 08 is 8.
whole_numbers() {
    local name
    for name; do
        [[ ${!name} =~ ^[0-9]{1,9}$ ]] || fail "--$name is a whole number, not '${!name}'."
        printf -v "$name" %d "$((10#${!name}))"
    done
}

# split_words NAME VALUE ARRAY: the words of an option that holds several, quoted as in a shell.
split_words() {
    local _lines
    local -n _words=$3
    _lines=$(python -c 'import shlex, sys; [print(word) for word in shlex.split(sys.argv[1])]' \
        "$2" 2>/dev/null && echo .) || fail "--$1 has an unclosed quote: $2"
    mapfile -t _words < <(printf %s "${_lines%.}")
}

is_number() { [[ $1 =~ ^([0-9]+\.?[0-9]*|\.[0-9]+)$ ]]; }

# numbers NAME...: these options are numbers.
numbers() {
    local name
    for name; do
        is_number "${!name}" || fail "--$name is a number, not '${!name}'."
    done
}

# one_of NAME VALUE...: this option has one of these values.
one_of() {
    local value known="${*:2}"
    for value in "${@:2}"; do [[ ${!1} != "$value" ]] || return 0; done
    fail "--$1 '${!1}' is unknown; known are ${known// /, }."
}

# files NAME...: these options are files, where they are given; what needs them may come hours later.
files() {
    local name
    for name; do
        [[ -z ${!name} || -f ${!name} ]] || fail "--$name: there is no file $(absolute "${!name}")."
    done
}

# folders_there NAME...: the same of folders.
folders_there() {
    local name
    for name; do
        [[ -z ${!name} || -d ${!name} ]] || fail "--$name: there is no folder $(absolute "${!name}")."
    done
}

# checkpoint_name NAME...: these options are names of files in the experiment, where they are given.
checkpoint_name() {
    local name
    for name; do
        [[ ${!name} != */* ]] ||
            fail "--$name is the name of a checkpoint in the experiment, not '${!name}'."
    done
}

# names_of_sets NAME...: these options name a data set, or several where they end in _sets; the names
# become parts of file names. They are then separated by one blank, whatever they were separated by.
names_of_sets() {
    local name word words
    for name; do
        read -ra words <<<"${!name//$'\n'/ }"
        ((${#words[@]})) || fail "--$name is not given."
        ((${#words[@]} == 1)) || [[ $name == *_sets ]] ||
            fail "--$name is the name of one data set, not '${!name}'."
        for word in "${words[@]}"; do
            [[ $word =~ ^[A-Za-z0-9_.][A-Za-z0-9_.+-]*$ ]] ||
                fail "--$name: '$word' is not the name of a data set (letters, digits and _ . + -)."
        done
        printf -v "$name" '%s' "${words[*]}"
    done
}

# absolute PATH: prints it, beginning at this folder unless it begins at the root.
absolute() { if [[ $1 == /* ]]; then echo "$1"; else echo "$PWD/$1"; fi; }

# folders PATH...: commands and ESPnet's options can name these folders.
folders() {
    local folder
    for folder; do
        [[ $folder != *[,$'\n']* && $folder != -* ]] ||
            fail "the folder '$folder' has a comma, a line break or a dash at its beginning, which" \
                "options of ESPnet cannot name; change --dumpdir, --expdir, --tag or what it is named by."
    done
}

# need_gpus: as many GPUs as --ngpu asks for are here.
need_gpus() {
    ((ngpu > 0)) || return 0
    local there
    there=$(python -c 'import torch
print(torch.cuda.device_count() if torch.cuda.is_available() else 0)' 2>/dev/null) || there=0
    ((ngpu <= there)) ||
        fail "--ngpu $ngpu, but PyTorch finds $there GPUs here; leave --ngpu out to use the CPU."
}

# need_own_gpus: the same, unless the GPUs are those of a cluster.
need_own_gpus() { [[ -n $parallel ]] || need_gpus; }

whole_numbers stage stop_stage
((stage <= stop_stage)) ||
    fail "--stage $stage is after --stop_stage $stop_stage, so that nothing would be run; give both."
current_stage=$stage

# The first --train_set is that of run.sh, the recipe's own; what is learned from another one has the
# other one's name: "_<set>".
other_set=
for ((_i = 0; _i + 1 < ${#_arguments[@]}; _i++)); do
    if [[ ${_arguments[_i]} == --train_set ]]; then
        [[ $train_set == "${_arguments[_i + 1]}" ]] || other_set=_$train_set
        break
    fi
done
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

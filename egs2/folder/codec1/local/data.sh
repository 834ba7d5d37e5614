#!/usr/bin/env bash
# Stage 1: any folder of audio -> data/<train_set> and data/<valid_set>, by different speakers.
set -euo pipefail

# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: $0 --audio_dir DIR [--speakers folder|file|REGEX] [--dev_share 0.05]
    [--train_set train] [--valid_set dev] [--test_sets dev] [--nj 1]"
train_set=train
valid_set=dev
test_sets=dev
nj=1

# shellcheck source=options.sh
. local/options.sh
# shellcheck source=../../../../tools/parse_options.sh
. ../../../tools/parse_options.sh
if (($#)); then
    echo "$0: unexpected '$*'." >&2
    exit 2
fi
for name in $test_sets; do
    if [[ $name != "$train_set" && $name != "$valid_set" && ! -e data/$name/wav.scp ]]; then
        echo "$0: a folder is divided into $train_set and $valid_set; there is no test set '$name'" \
            "(write data/$name yourself, or leave --test_sets out)." >&2
        exit 1
    fi
done

data=$PWD/data
cd "${CALLED_FROM:-.}"
# Nothing that lies there, e.g. a random.py, is a module of Python.
PYTHONSAFEPATH=1 python -m espnet_stacodec.bin.prepare_folder --audio_dir "$audio_dir" --speakers "$speakers" \
    --dev_share "$dev_share" --train_set "$train_set" --valid_set "$valid_set" --nj "$nj" \
    --out_dir "$data"

#!/usr/bin/env bash
# Stage 1: SLURP -> data/<set>/{wav.scp,text,utt2spk,spk2utt,intent}, for the sets that run.sh names.
#
# The sets are called as in the corpus: train, devel, test (and train_synthetic).
set -euo pipefail

# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: $0 --train_set NAME --valid_set NAME --test_sets 'NAME NAME'"
train_set=
valid_set=
test_sets=

# shellcheck source=../db.sh
. ./db.sh
# shellcheck source=../../../../tools/parse_options.sh
. ../../../tools/parse_options.sh
if (($#)); then
    echo "$0: unexpected '$*'; several test sets go in quotes." >&2
    exit 2
fi

# shellcheck disable=SC2086  # test_sets is a list of words
python -m espnet_stacodec.bin.prepare_slurp \
    --corpus "$SLURP" --out_dir data --sets $train_set $valid_set $test_sets

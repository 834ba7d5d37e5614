#!/usr/bin/env bash
# Stage 1: speak the corpus into downloads/mini and list it in data/{train,dev,test}.
set -euo pipefail

# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: $0 --train_set train --valid_set dev --test_sets test [--max_speakers N]"
train_set=train
valid_set=dev
test_sets="test"
max_speakers=  # of each set; empty: all

# shellcheck source=../../../../tools/parse_options.sh
. ../../../tools/parse_options.sh
if [[ "$train_set $valid_set $test_sets" != "train dev test" ]]; then
    echo "$0: the sets of this corpus are train, dev and test, not $train_set, $valid_set, $test_sets." >&2
    exit 2
fi
python local/make_corpus.py ${max_speakers:+--max_speakers "$max_speakers"}

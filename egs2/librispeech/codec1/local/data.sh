#!/usr/bin/env bash
# Stage 1: LibriSpeech -> data/<set>/{wav.scp,text,utt2spk,spk2utt}, for the sets that run.sh names.
#
# Names of sets: train_960 (train-clean-100, train-clean-360, train-other-500), train_clean_460,
# dev (dev-clean, dev-other), or one part of the corpus with underscores, such as train_clean_100,
# dev_clean, test_other. Mini LibriSpeech (460 MB) has the parts train_clean_5 and dev_clean_2.
set -euo pipefail

# shellcheck disable=SC2034  # read by parse_options.sh
help_message="Usage: $0 --train_set NAME --valid_set NAME --test_sets 'NAME NAME' [--base_url URL]"
train_set=
valid_set=
test_sets=
base_url=  # a mirror of the archives' folder; empty: OpenSLR

# shellcheck source=../db.sh
. ./db.sh
# shellcheck source=../../../../tools/parse_options.sh
. ../../../tools/parse_options.sh
if (($#)); then
    echo "$0: unexpected '$*'; several test sets go in quotes." >&2
    exit 2
fi

# shellcheck disable=SC2086  # test_sets is a list of words
python -m espnet_stacodec.bin.prepare_librispeech \
    --corpus "$LIBRISPEECH" --download_dir downloads ${base_url:+--base_url "$base_url"} \
    --out_dir data --sets $train_set $valid_set $test_sets

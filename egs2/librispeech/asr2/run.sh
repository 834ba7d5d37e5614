#!/usr/bin/env bash
# Speech recognition from the codes of a codec, on LibriSpeech: train-clean-100, as in the usual
# discrete-token benchmarks; --train_set train_960 for all of it.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"

./asr2.sh \
    --train_set train_clean_100 --valid_set dev_clean --test_sets "test_clean test_other" \
    --train_config conf/train_e_branchformer.yaml --nbpe 1000 \
    "$@"

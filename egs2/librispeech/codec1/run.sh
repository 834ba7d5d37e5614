#!/usr/bin/env bash
# STACodec on LibriSpeech, 960 hours: the paper's system (arXiv 2602.06180).
# On mini LibriSpeech, 460 MB, with a model that a CPU trains:
#   ./run.sh --train_set train_clean_5 --valid_set dev_clean_2 --test_sets dev_clean_2 \
#       --train_config conf/train_small.yaml --ssl_config conf/ssl/mfcc_km100.yaml
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"

./codec.sh \
    --train_set train_960 --valid_set dev_clean --test_sets "test_clean test_other" \
    --ssl_config conf/ssl/wavlm_large_l23_km1000.yaml --train_config conf/train_sta.yaml \
    "$@"

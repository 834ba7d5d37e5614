#!/usr/bin/env bash
# The variants of conf/ablations.yaml, trained at one small size with each seed, and their tables.
# Stages 1 to 3 of run.sh must have been run for these sets and this ssl_config.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh

python local/ablations.py --train_config conf/train_spectral.yaml \
    --train_set train_clean_100 --valid_set dev_clean --test_set test_clean \
    --ssl_config conf/ssl/wavlm_large_l23_km1000.yaml "$@"

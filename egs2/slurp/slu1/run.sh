#!/usr/bin/env bash
# Intents from the codes of a codec, on SLURP.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"

./slu.sh \
    --train_set train --valid_set devel --test_sets test \
    --train_config conf/train_bilstm.yaml \
    "$@"

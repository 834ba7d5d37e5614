#!/usr/bin/env bash
# Intents from the codes of ../codec1, on the embedded corpus.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"

./slu.sh \
    --train_set train --valid_set dev --test_sets test \
    --train_config conf/train_small.yaml --target intent_words \
    "$@"

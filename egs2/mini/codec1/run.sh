#!/usr/bin/env bash
# STACodec on the embedded corpus: fifteen minutes of synthetic commands, no downloads, no GPU.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"

./codec.sh \
    --train_set train --valid_set dev --test_sets test \
    --ssl_config conf/ssl/mfcc_km100.yaml --train_config conf/train_sta.yaml \
    "$@"

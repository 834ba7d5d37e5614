#!/usr/bin/env bash
# STACodec on SLURP, in its official layout; db.sh says where it is.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"

./codec.sh \
    --train_set train --valid_set devel --test_sets test \
    --ssl_config conf/ssl/wavlm_large_l23_km1000.yaml --train_config conf/train_sta.yaml \
    "$@"

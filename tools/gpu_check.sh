#!/usr/bin/env bash
# Train, encode and decode with the full-size codecs on this machine's GPU: seconds per step, memory
# and losses in float32 and bfloat16, speed against the CPU, share of equal codes. Needs torch,
# ESPnet and this package (installed or not), no data and no network; five minutes on a large GPU.
#   tools/gpu_check.sh --out DIR [--audio FOLDER] [--steps 200] [--batch_size 32] ...
# All options: tools/gpu_check.sh --help. PYTHON names another interpreter than python3.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHONPATH="$root${PYTHONPATH:+:$PYTHONPATH}"
conf=$root/egs2/TEMPLATE/codec1/conf
exec "${PYTHON:-python3}" -m espnet_stacodec.bin.gpu_check \
    --configs "$conf/train_sta.yaml" "$conf/train_spd.yaml" "$@"

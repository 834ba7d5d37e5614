#!/usr/bin/env bash
# Make the codec `small` that comes with the package: prepare, train, score.
#   ./run_small.sh DATA TEACHER [option of run.sh...]
# DATA holds the recordings (local/small_data.py says which), TEACHER is a folder with Whisper base.
# On a GPU: --ngpu 1. `python -m espnet_stacodec.bin.ship` then puts it into the package.
set -euo pipefail
if (($# < 2)); then
    sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
data=$(realpath "$1") teacher=$(realpath "$2")
cd -P "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh

audio=$PWD/downloads/small
python local/small_data.py "$data" "$audio" data/voices_dev
./run.sh --audio_dir "$audio" --speakers '^(slurp/[^/]+|[^/]+)' --dev_share 0.03 \
    --test_sets "dev voices_dev" --speed_perturb_factors "0.9 1.0 1.1" \
    --ssl_config conf/ssl/whisper_base_l4_km500.yaml --ssl_path "$teacher" \
    --train_config conf/train_spectral.yaml --tag small "${@:3}"

#!/usr/bin/env bash
# Make the codec `small` that comes with the package: prepare, train, score.
#   ./run_small.sh DATA TEACHER [option of run.sh...]
# DATA holds the recordings (local/small_data.py says which), TEACHER is a folder with Whisper base.
# The training is 9 minutes on a large GPU (--ngpu 1). ship_small.sh then puts the codec into the package.
set -euo pipefail
if (($# < 2)); then
    sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
data=$(realpath "$1") teacher=$(realpath "$2")
cd -P "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh

# 124 hours of chunks of 1 s. A large batch costs a GPU nothing: it waits for the launch of its kernels.
training="--steps_per_epoch 1400 --max_epoch 5 --batch_size 64 --num_cache_chunks 2048
    --scheduler_conf max_lr=3.0e-3 --ema_decay 0.999 --use_amp true --num_workers 3
    --cudnn_deterministic false --cudnn_benchmark true"
audio=$PWD/downloads/small
python local/small_data.py "$data" "$audio" data/voices_dev
./run.sh --audio_dir "$audio" --speakers '^(slurp/[^/]+|[^/]+)' --dev_share 0.03 \
    --test_sets "dev voices_dev" --speed_perturb_factors "0.9 1.0 1.1" \
    --ssl_config conf/ssl/whisper_base_l4_km500.yaml --ssl_path "$teacher" \
    --train_config conf/train_spectral.yaml --train_args "$training" --tag small "${@:3}"

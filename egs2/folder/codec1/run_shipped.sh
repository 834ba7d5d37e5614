#!/usr/bin/env bash
# Make a codec that comes with the package: prepare, train, score.
#   ./run_shipped.sh NAME DATA TEACHER [option of run.sh...]
# NAME is small or small_streaming. DATA holds the recordings (local/shipped_data.py says which),
# TEACHER is a folder with Whisper base. ship.sh then puts the codec into the package.
set -euo pipefail
usage() {
    sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
}
(($# >= 3)) || usage
for folder in "$2/voices/train" "$2/voices/dev" "$3"; do
    [[ -d $folder ]] || { echo "$0: $folder: there is no such folder." >&2 && exit 1; }
done
name=$1 data=$(realpath "$2") teacher=$(realpath "$3")
cd -P "$(dirname "${BASH_SOURCE[0]}")"

# How long they are trained is said here, in steps, for any machine.
case $name in
small) # 124 hours of chunks of 1 s: two hours of two CPU cores that have bfloat16
    # (OMP_NUM_THREADS=2), or nine minutes of a large GPU (--ngpu 1).
    config=conf/train_spectral.yaml speeds="0.9 1.0 1.1"
    # A large batch costs a GPU nothing: it waits for the launch of its kernels.
    training="--steps_per_epoch 1400 --max_epoch 5 --batch_size 64 --num_cache_chunks 2048
        --scheduler_conf max_lr=3.0e-3 --ema_decay 0.999 --use_amp true --num_workers 3
        --cudnn_deterministic false --cudnn_benchmark true"
    ;;
small_streaming) # 27 hours of chunks of 1 s: an hour and a half of one CPU core.
    config=conf/train_spectral_streaming.yaml speeds=
    training="--steps_per_epoch 1000 --max_epoch 12 --num_cache_chunks 2048
        --scheduler_conf max_lr=2.0e-3 --ema_decay 0.999"
    ;;
*) usage ;;
esac

. ./path.sh
audio=$PWD/downloads/shipped
python local/shipped_data.py "$data" "$audio" data/voices_dev
./run.sh --audio_dir "$audio" --speakers '^(slurp/[^/]+|[^/]+)' --dev_share 0.03 \
    --test_sets "dev voices_dev" --speed_perturb_factors "$speeds" \
    --ssl_config conf/ssl/whisper_base_l4_km500.yaml --ssl_path "$teacher" \
    --train_config "$config" --train_minutes "" --train_args "$training" --tag "$name" "${@:4}"

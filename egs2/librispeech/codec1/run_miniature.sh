#!/usr/bin/env bash
# The paper in miniature: the variants of conf/ablations.yaml with three seeds on an hour of speech, what they
# keep of it, and what their first codebooks know of intents, digits and speakers.
#   ./run_miniature.sh DATA TEACHER [option of local/ablations.py...]
# DATA holds the recordings (local/miniature_data.py says which), TEACHER is a folder with Whisper base.
set -euo pipefail
if (($# < 2)); then
    sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
data=$(realpath "$1") teacher=$(realpath "$2")
cd -P "$(dirname "${BASH_SOURCE[0]}")"
. ./path.sh

sets=(--train_set readers_train --valid_set readers_dev)
probed="commands digits accents_train accents_test"
tokens=(--ssl_config conf/ssl/whisper_base_l4_km500.yaml)
python local/miniature_data.py "$data" data
./run.sh --stage 2 --stop_stage 3 "${sets[@]}" --test_sets "readers_test $probed" \
    "${tokens[@]}" --ssl_path "$teacher" --keep_features true
./run_ablations.sh "${sets[@]}" --test_set readers_test "${tokens[@]}" --seeds 777 778 779 \
    --metrics pesq stoi si_sdr f0 speaker --probes intent digit speaker "${@:3}"

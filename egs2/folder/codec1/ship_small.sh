#!/usr/bin/env bash
# Put the codec that run_small.sh trained into the package, score it there with 8, 4, 2 and 1
# codebooks, write the scores into its card and README.md, and make the page of samples.
#   ./ship_small.sh DATA [option of espnet_stacodec.bin.decode...]
# DATA is that of run_small.sh: voices/dev of it is judged and heard.
set -euo pipefail
if (($# < 1)); then
    sed -n '2,5s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
data=$(realpath --relative-to "$root" "$1") # the page names it
cd "$root/egs2/folder/codec1"
. ./path.sh

write=(--about conf/card_small.md --license cc-by-4.0 --language en)
python -m espnet_stacodec.bin.ship --model exp/codec_small "${write[@]}" \
    --ssl_path openai/whisper-base
scores=()
for n in 8 4 2 1; do
    scores+=("exp/shipped_small/$n")
    python -m espnet_stacodec.bin.decode --model small --dump_dir dump/raw --sets voices_dev \
        --n_codebooks "$n" --out_dir "exp/shipped_small/$n" "${@:2}"
done
python -m espnet_stacodec.bin.ship --model small "${write[@]}" --scores "${scores[@]}"
cd "$root"
python tools/quote_scores.py
python tools/make_samples.py "$data/voices/dev" --out docs/samples \
    --source "LibriSpeech train-clean-100 (https://www.openslr.org/12), CC BY 4.0"

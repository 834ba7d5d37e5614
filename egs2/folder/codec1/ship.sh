#!/usr/bin/env bash
# Put a codec that run_shipped.sh trained into the package, score it there with 8, 4, 2 and 1
# codebooks, and write the scores into its card; of `small` also into README.md, and make the page
# of samples.
#   ./ship.sh NAME DATA [option of espnet_stacodec.bin.decode...]
# NAME and DATA are those of run_shipped.sh: voices/dev of it is judged and heard.
set -euo pipefail
if (($# < 2)); then
    sed -n '2,6s/^# //p' "${BASH_SOURCE[0]}" >&2
    exit 2
fi
[[ -d $2/voices/dev ]] || { echo "$0: $2/voices/dev: there is no such folder." >&2 && exit 1; }
name=$1
root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
data=$(realpath --relative-to "$root" "$2") # the page names it
cd "$root/egs2/folder/codec1"
. ./path.sh

write=(--name "$name" --about conf/card_shipped.md --license cc-by-4.0 --language en)
python -m espnet_stacodec.bin.ship --model "exp/codec_$name" "${write[@]}" \
    --ssl_path openai/whisper-base
scores=()
for n in 8 4 2 1; do
    scores+=("exp/shipped_$name/$n")
    python -m espnet_stacodec.bin.decode --model "$name" --dump_dir dump/raw --sets voices_dev \
        --n_codebooks "$n" --out_dir "exp/shipped_$name/$n" "${@:3}"
done
python -m espnet_stacodec.bin.ship --model "$name" "${write[@]}" --scores "${scores[@]}"
[[ $name == small ]] || exit 0
cd "$root"
python tools/quote_scores.py
python tools/make_samples.py "$data/voices/dev" --out docs/samples \
    --source "LibriSpeech train-clean-100 (https://www.openslr.org/12), CC BY 4.0"

#!/usr/bin/env bash
# All of the embedded corpus: the codec, speech recognition and intents from its codes, the same
# from those of an untrained codec, and one table of what each reaches.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")"

if (($#)); then
    echo "run.sh: there are no options; codec1, asr2 and slu1 have their own run.sh with some." >&2
    exit 2
fi
sta=codec_train_sta_mfcc_l0_km100
untrained=codec_train_untrained_mfcc_l0_km100

codec1/run.sh
codec1/run.sh --stage 5 --stop_stage 7 --train_config conf/train_untrained.yaml

# Two at a time, one for each core; `wait` of a job that failed ends this script.
for recipe in asr2 slu1; do
    jobs=()
    for codec in $sta $untrained; do
        $recipe/run.sh --codec_exp "../codec1/exp/$codec" --tag "$codec" --nj 1 --inference_nj 1 &
        jobs+=($!)
    done
    for job in "${jobs[@]}"; do wait "$job"; done
done

. codec1/path.sh
results=(--dataset test --out RESULTS.md)
for codec in $sta $untrained; do
    results+=(--system "$codec" "codec1/exp/$codec/decode/results.json"
        "asr2/exp/mt_$codec/decode/results.json" "slu1/exp/slu_$codec/decode/results.json")
done
python -m espnet_stacodec.bin.summarize "${results[@]}"
echo "run.sh: table:  $PWD/RESULTS.md"

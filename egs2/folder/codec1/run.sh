#!/usr/bin/env bash
# STACodec on any folder of audio, without transcripts:
#   ./run.sh --audio_dir DIR [--speakers folder|file|REGEX] [--dev_share 0.05] [--train_minutes 60]
# The tokens of mfcc_km100 need no weights but carry little meaning; --ssl_config conf/ssl/... takes
# those of a speech model. Scores are those of the development set: other speakers, where the folder
# has several.
set -euo pipefail
export CALLED_FROM=$PWD # --audio_dir may be relative to it
cd -P "$(dirname "${BASH_SOURCE[0]}")"

length=(--train_minutes 60)
[[ " $*" != *" --train"[_-]"steps"* ]] || length=() # one of the two

./codec.sh \
    --train_set train --valid_set dev --test_sets dev \
    --ssl_config conf/ssl/mfcc_km100.yaml --train_config conf/train_spectral.yaml \
    "${length[@]}" \
    "$@"

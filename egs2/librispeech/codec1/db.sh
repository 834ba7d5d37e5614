# shellcheck shell=bash
# The folder that holds train-clean-100, dev-clean, ... (or the folder LibriSpeech with them).
# Empty: local/data.sh downloads what it needs into downloads/.
LIBRISPEECH=${LIBRISPEECH:-}
export LIBRISPEECH

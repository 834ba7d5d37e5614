#!/usr/bin/env bash
# Spoken language understanding: the codes of a codec -> intent. ESPnet's SLU task.
# A recipe's run.sh calls this, in its own folder, with its defaults.
set -euo pipefail

TASK=slu
set -- --target intent --token_type word "$@"
# shellcheck source=../codes_to_text.sh
. ../../TEMPLATE/codes_to_text.sh

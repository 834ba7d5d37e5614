#!/usr/bin/env bash
# Speech recognition from discrete tokens: the codes of a codec -> words. ESPnet's translation task
# with its discrete_asr model; with --input audio ESPnet's recognition task, as a reference.
# A recipe's run.sh calls this, in its own folder, with its defaults.
set -euo pipefail

TASK=mt
# shellcheck source=../codes_to_text.sh
. ../../TEMPLATE/codes_to_text.sh

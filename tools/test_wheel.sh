#!/usr/bin/env bash
# Check what `pip install` gives a user: build the source distribution and from it the wheel, install
# that into a new environment outside of the checkout, and encode and decode a file there with the
# shipped codec, without a network. Takes 7 GB of disk in $TMPDIR, less with uv's cache beside it.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
. tools/env.sh
fail() { echo "tools/test_wheel.sh: $*" >&2; exit 1; }

uv=$(command -v uv || echo "$PWD/.venv-uv/bin/uv")
"$uv" --version >/dev/null || fail "there is no uv; install it (\`pip install uv\`)."
unshare -rn true || fail "this user may not take the network away (unshare -rn)."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$uv" build --quiet --out-dir "$work/dist" .
"$uv" venv --quiet --python "$(command -v python)" "$work/venv"
"$uv" pip install --quiet --python "$work/venv/bin/python" --constraint tools/constraints.txt \
    "$work"/dist/*.whl

cat >"$work/check.py" <<'PYTHON'
"""Encode and decode with the shipped codec; name what was imported for it."""

import sys
from pathlib import Path

import numpy as np
import soundfile

import espnet_stacodec
from espnet_stacodec.bin.stacodec import main

assert Path(espnet_stacodec.__file__).is_relative_to(sys.prefix), espnet_stacodec.__file__
soundfile.write("a.wav", np.random.default_rng(0).normal(0, 0.1, 20000), 16000)
main(["info"])
main(["encode", "a.wav", "--out", "codes/"])
main(["decode", "codes/a.npz", "--out", "wav/"])
wave, rate = soundfile.read("wav/a.wav")
assert (len(wave), rate) == (20000, 16000) and np.abs(wave).max() > 0
imported = {"s3prl", "transformers", "huggingface_hub"} & set(sys.modules)
assert not imported, imported
PYTHON
mkdir "$work/home"
cd "$work/home"
env -i HOME="$work/home" PATH="$work/venv/bin:/usr/bin:/bin" OMP_NUM_THREADS=1 \
    unshare -rn python "$work/check.py"
find "$work/home" -path "*/.cache/*" -name "model*" | grep . && fail "the codec came into a cache."
echo "The installed package encodes and decodes without a network."

#!/usr/bin/env bash
# Stage 1: speak the corpus into downloads/mini and list it in data/{train,dev,test}.
set -euo pipefail

python local/make_corpus.py "$@"

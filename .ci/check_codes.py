"""Check what a recipe made: the first codebook's codes are the semantic tokens, frame by frame."""

import json
import logging
import sys
from pathlib import Path

import kaldiio
import numpy as np

from espnet_stacodec.downstream.code_dirs import unflatten_codes
from espnet_stacodec.fileio.files import read_scp
from espnet_stacodec.semantic.token_files import read_tokens


def main(codes_dir: Path, semantic_dir: Path) -> None:
    """Compare all utterances of all sets; exits with status 1 at the first that differs."""
    sizes = json.loads((codes_dir / "codes.json").read_text(encoding="utf-8"))["codebook_sizes"]
    checked = 0
    for scp in sorted(codes_dir.glob("*/codes.scp")):
        tokens = read_tokens(semantic_dir / scp.parent.name / "semantic.scp")
        for utt_id, place in read_scp(scp).items():
            codes = unflatten_codes(np.asarray(kaldiio.load_mat(place)), sizes)
            if not np.array_equal(codes[0], tokens[utt_id]):
                sys.exit(f"{scp}: the first codebook of {utt_id} is not its semantic tokens.")
            checked += 1
    if not checked:
        sys.exit(f"{codes_dir}: there are no codes to check.")
    logging.info("%s: RVQ-1 equals the semantic tokens in %d utterances", codes_dir, checked)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    main(Path(sys.argv[1]), Path(sys.argv[2]))

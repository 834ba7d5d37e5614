"""`stacodec probe`: its options, and what it does."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from espnet_stacodec.evaluation.code_sets import CodeSet
    from espnet_stacodec.evaluation.probes import Questions
    from espnet_stacodec.evaluation.stability import Stability

COPIES = ("white_20dB", "white_10dB", "level_-30dB", "speed_1.1", "rate_8k", "mp3_32k")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.set_defaults(work=_probe)
    parser.add_argument(
        "codes",
        type=Path,
        nargs="+",
        metavar="CODES",
        help="folders of .npz files, or such files; codes.scp, semantic.scp, or a text of"
        " '<name> <token> ...'",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--model", help="the codec: gives the sizes of its codebooks, and encodes --audio"
    )
    parser.add_argument(
        "--tokens", type=Path, nargs="+", help="semantic tokens of the same utterances"
    )
    parser.add_argument("--alignment", type=Path, help="CTM file of phones or other labels")
    parser.add_argument(
        "--labels",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="labels of utterances, e.g. intent=data/train/intent; a name may come twice",
    )
    parser.add_argument("--text", type=Path, nargs="+", help="transcripts, for the spelling probe")
    parser.add_argument("--utt2spk", type=Path, nargs="+", help="speakers of the utterances")
    parser.add_argument(
        "--test",
        type=Path,
        nargs="+",
        help="lists that name the utterances to test on (default: cross-validation)",
    )
    parser.add_argument(
        "--audio", type=Path, help="clean speech, for the stability of its codes under --copies"
    )
    parser.add_argument(
        "--copies",
        nargs="+",
        default=COPIES,
        help=f"distortions of --audio (default: {' '.join(COPIES)})",
    )
    parser.add_argument("--nj", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--device", default="cpu", help="of the codec: cpu (default), cuda")


def _probe(args: argparse.Namespace) -> None:
    from espnet_stacodec.evaluation.code_sets import join, read_code_set
    from espnet_stacodec.evaluation.mutual_information import read_alignment
    from espnet_stacodec.evaluation.probes import (
        Questions,
        describe_stability,
        probe,
        read_labels,
        read_lists,
        write_probe,
    )
    from espnet_stacodec.inference.audio_coding import load_once

    sizes = rate = None
    if args.model is not None:
        codec = load_once(args.model, args.device, None)
        sizes, rate = codec.codebook_choices, codec.frame_rule.frame_rate_hz
    codes = join([_read_codes(place) for place in args.codes], sizes, rate)
    frame_labels = {}
    if args.tokens is not None:
        frame_labels["the semantic tokens"] = read_code_set(args.tokens).stream(0)
    if args.alignment is not None:
        frame_labels[f"the labels of {args.alignment.name}"] = read_alignment(args.alignment, codes)
    questions = Questions(
        frame_labels=frame_labels,
        labels=read_labels(args.labels),
        texts=read_lists(args.text or ()),
        speakers=read_lists(args.utt2spk) if args.utt2spk else None,
        test=list(read_lists(args.test)) if args.test else None,
    )
    found = probe(codes, questions)
    if args.audio is not None:
        found["stability"] = describe_stability(_stability(args, questions))
    sys.stdout.write(write_probe(args.out, "What the codes know", found))


def _read_codes(place: Path) -> "CodeSet":
    """Return the codes of a place; of stage 7's lists, which hold all codebooks in one row."""
    from espnet_stacodec.downstream.code_dir_info import NAME
    from espnet_stacodec.downstream.code_dirs import read_codes
    from espnet_stacodec.evaluation.code_sets import CodeSet, read_place

    if not (place.is_file() and (place.parent.parent / NAME).exists()):
        return read_place(place)
    codes, info = read_codes(place)
    return CodeSet(codes, info.codebook_sizes, info.frame_rate_hz)


def _stability(args: argparse.Namespace, questions: "Questions") -> "dict[str, list[Stability]]":
    from espnet_stacodec.config import choose
    from espnet_stacodec.errors import ConfigError
    from espnet_stacodec.evaluation.audio_sets import AudioSet
    from espnet_stacodec.evaluation.distortions import standard_distortions
    from espnet_stacodec.evaluation.stability import measure_stability
    from espnet_stacodec.parallel import Workers

    if args.model is None:
        raise ConfigError("--audio needs --model, the codec that encodes it.")
    audio = AudioSet.open(args.audio)
    known = standard_distortions(list(audio.audio.values()))
    copies = [choose(known, name, "--copies:") for name in args.copies]
    speakers = questions.speakers or dict(audio.speakers) or None
    with Workers(args.nj) as workers:
        return measure_stability(args.model, audio.audio, copies, workers, speakers, args.device)

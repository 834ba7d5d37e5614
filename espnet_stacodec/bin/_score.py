"""`stacodec score`: its options, and what it does."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from espnet_stacodec.evaluation.words import Recognition


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.set_defaults(work=_score)
    kinds = "a folder of audio files, or one with wav.scp, a list .scp, or an audio file"
    parser.add_argument("reference", type=Path, metavar="REF", help=f"originals: {kinds}")
    parser.add_argument(
        "estimates",
        type=Path,
        nargs="+",
        metavar="HYP",
        help="resynthesized audio of the same names; of several systems each is compared with the"
        " first",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to")
    parser.add_argument(
        "--speakers",
        help="how names tell speakers: folder, file, or a regular expression (default: utt2spk"
        " beside the originals' wav.scp, else not known)",
    )
    parser.add_argument(
        "--text",
        type=Path,
        help="transcripts, '<name> <words>' lines (default: text beside the originals' wav.scp)",
    )
    add_scoring_arguments(parser)
    parser.add_argument(
        "--others",
        type=Path,
        nargs="+",
        help="JSON lines of another program, e.g. VERSA, for each HYP: they become figures too",
    )
    parser.add_argument("--nj", type=int, default=1, help="processes at a time (default: 1)")
    parser.add_argument("--device", default="cpu", help="of the recognizer: cpu (default), cuda")


def add_scoring_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that stage 6 has as well: which metrics, which recognizer."""
    parser.add_argument(
        "--metrics",
        nargs="+",
        help="pesq stoi si_sdr spectral f0 speaker dnsmos; all that are installed if not given",
    )
    parser.add_argument(
        "--recognizer",
        type=Path,
        help="folder of a transformers model, or ESPnet checkpoint or archive: adds word errors",
    )
    parser.add_argument("--recognizer_config", type=Path, help="YAML of its decoding options")
    parser.add_argument(
        "--normalizer",
        default="english",
        help="how texts are made alike: english, or basic for other languages",
    )


def scoring_of(args: argparse.Namespace, device: str) -> "tuple[list[str], Recognition | None]":
    """Return the families of metrics and the recognizer, on a device, that the options ask for."""
    from espnet_stacodec.evaluation.families import choose_families
    from espnet_stacodec.evaluation.words import recognition_of

    recognition = recognition_of(args.recognizer, args.recognizer_config, args.normalizer, device)
    return choose_families(args.metrics), recognition


def _score(args: argparse.Namespace) -> None:
    from espnet_stacodec.evaluation.audio_sets import AudioSet
    from espnet_stacodec.evaluation.score_sets import name_systems, score_systems
    from espnet_stacodec.parallel import Workers

    families, recognition = scoring_of(args, args.device)
    originals = AudioSet.open(args.reference)
    if args.speakers is not None:
        originals = originals.with_speakers(args.speakers)
    if args.text is not None:
        originals = originals.with_texts(args.text)
    systems = name_systems(args.estimates, args.others)
    with Workers(args.nj) as workers:
        table = score_systems(originals, systems, args.out, families, workers, recognition)
    sys.stdout.write(table)

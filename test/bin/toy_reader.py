"""A recognizer of two words from codes, which is trained at once."""

from pathlib import Path

import kaldiio
import numpy as np

from espnet_stacodec.fileio.files import write_scp


def write_data() -> None:
    """Write tokens, texts, codes and shapes of two utterances into the working directory."""
    Path("tokens.txt").write_text("<blank>\n<unk>\non\noff\n<sos/eos>\n")
    utts = [f"utt{number}" for number in range(2)]
    write_scp(Path("text"), dict.fromkeys(utts, "on off"))
    Path("shape").write_text("".join(f"{utt} 8\n" for utt in utts))
    feats = {utt: np.arange(2, 10, dtype=np.int32) % 4 for utt in utts}
    kaldiio.save_ark("codes.ark", feats, scp="codes.scp")


def options_of(experiment: Path) -> list[str]:
    """Return the command line of a training on them."""
    options = ["mt_train", "--model", "discrete_asr", "--output_dir", str(experiment)]
    options += ["--token_type", "word", "--src_token_type", "null", "--token_list", "tokens.txt"]
    options += ["--src_token_list", "tokens.txt", "--frontend", "embed"]
    options += ["--frontend_conf", "embed_dim=4", "--encoder", "rnn", "--decoder", "rnn"]
    options += ["--encoder_conf", "hidden_size=4", "--encoder_conf", "output_size=4"]
    options += ["--encoder_conf", "num_layers=1", "--resume", "true", "--num_workers", "0"]
    options += ["--batch_size", "2", "--batch_type", "sorted", "--use_matplotlib", "false"]
    for kind in ("train", "valid"):
        for stream in ("codes.scp,src_text,kaldi_ark", "text,text,text"):
            options += [f"--{kind}_data_path_and_name_and_type", stream]
        options += [f"--{kind}_shape_file", "shape"]
    return options

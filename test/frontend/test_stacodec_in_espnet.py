"""A recogniser with a codec as its frontend, trained and decoded by ESPnet's commands."""

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from espnet_stacodec.bin import espnet
from espnet_stacodec.errors import ConfigError
from espnet_stacodec.fileio.files import write_scp, write_text
from espnet_stacodec.frontend.stacodec import STACodecFrontend


def slu_conf(folder: Path, codec: Path, output: str) -> dict:
    """Return the configuration of a tiny SLU model of the toy data that lie in `folder`."""
    data = {
        part: [
            [str(folder / "dump" / "raw" / part / "wav.scp"), "speech", "sound"],
            [str(folder / f"text.{part}"), "text", "text"],
        ]
        for part in ("train", "valid")
    }
    small = {"output_size": 8, "attention_heads": 2, "linear_units": 8, "num_blocks": 1}
    return {
        "frontend": "stacodec",
        "frontend_conf": {"codec": str(codec), "output": output, "codebooks": [0]},
        "init": "xavier_uniform",
        "token_type": "word",
        "token_list": ["<blank>", "<unk>", "on", "off", "<sos/eos>"],
        "normalize": "utterance_mvn",
        "encoder": "transformer",
        "encoder_conf": small | {"input_layer": "linear"},
        "decoder": "transformer",
        "decoder_conf": {"attention_heads": 2, "linear_units": 8, "num_blocks": 1},
        "model_conf": {"ctc_weight": 0.3},
        "train_data_path_and_name_and_type": data["train"],
        "valid_data_path_and_name_and_type": data["valid"],
        "train_shape_file": [str(folder / "stats" / "train" / "audio_shape")],
        "valid_shape_file": [str(folder / "stats" / "valid" / "audio_shape")],
        "batch_type": "unsorted",
        "batch_size": 3,
        "max_epoch": 1,
        "num_workers": 0,
        "optim": "adam",
        "use_matplotlib": False,
        "use_tensorboard": False,
    }


@pytest.mark.parametrize("output", ["latents", "codes"])
def test_espnet_trains_and_decodes_from_spd_without_ssl(
    toy_task, spd_without_ssl, tmp_path, output
):
    text = {part: tmp_path / f"text.{part}" for part in toy_task.FRAMES}
    for part, frames in toy_task.FRAMES.items():
        shutil.copytree(toy_task.folder / "dump" / "raw" / part, tmp_path / "dump" / "raw" / part)
        shutil.copytree(toy_task.folder / "stats" / part, tmp_path / "stats" / part)
        write_scp(text[part], {f"{part}{i}": ("on", "off")[i % 2] for i in range(len(frames))})
    write_text(tmp_path / "conf.yaml", yaml.safe_dump(slu_conf(tmp_path, spd_without_ssl, output)))
    exp = tmp_path / "exp"
    espnet.main(["slu_train", "--config", str(tmp_path / "conf.yaml"), "--output_dir", str(exp)])
    state = torch.load(exp / "1epoch.pth", weights_only=True)
    assert not any("codec" in name for name in set(state) - {"frontend.codec_fingerprint"})

    from espnet2.tasks.slu import SLUTask

    model, _ = SLUTask.build_model_from_file(exp / "config.yaml", exp / "1epoch.pth")
    inside = model.frontend.codec.generator.state_dict()
    trained = STACodecFrontend(spd_without_ssl).codec.generator.state_dict()
    assert all(torch.equal(value, trained[name]) for name, value in inside.items())
    espnet.main(
        [
            "slu_inference", "--output_dir", str(tmp_path / "decoded"), "--beam_size", "1",
            "--slu_train_config", str(exp / "config.yaml"), "--num_workers", "0",
            "--slu_model_file", str(exp / "1epoch.pth"), "--maxlenratio", "-2",
            "--data_path_and_name_and_type",
            f"{tmp_path / 'dump' / 'raw' / 'valid' / 'wav.scp'},speech,sound",
        ]
    )  # fmt: skip
    decoded = (tmp_path / "decoded" / "1best_recog" / "text").read_text().splitlines()
    assert [line.split()[0] for line in decoded] == ["valid0", "valid1"]
    shutil.rmtree(spd_without_ssl)
    with pytest.raises(ConfigError, match=f"codec: {spd_without_ssl}: neither a folder"):
        SLUTask.build_model_from_file(exp / "config.yaml", exp / "1epoch.pth")

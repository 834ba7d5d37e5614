"""Every configuration of the recipes that read codes builds a model, which learns from codes."""

from pathlib import Path

import pytest
import torch
import yaml
from espnet2.tasks.mt import MTTask
from espnet2.tasks.slu import SLUTask

RECIPES = Path(__file__).parents[2] / "egs2"
CONFIGS = sorted(RECIPES.glob("*/*/conf/train*.yaml"))
READERS = {"asr2": MTTask, "slu1": SLUTask}
CODES = 40  # ids of the source token list
FRAMES = 96
SAMPLES_PER_FRAME = 320


def model_and_batch(path: Path, tmp_path: Path):
    """Return a configuration, its model and a batch, as codes_to_text.sh gives them."""
    recipe = path.parts[-3]
    tokens = tmp_path / "tokens.txt"
    tokens.write_text("".join(f"{t}\n" for t in ("<blank>", "<unk>", "a", "b", "<sos/eos>")))
    sources = tmp_path / "src_tokens.txt"
    sources.write_text("".join(f"{t}\n" for t in range(CODES)))
    conf = yaml.safe_load(path.read_text())
    reads_audio = "frontend" in conf
    if conf.get("frontend") == "s3prl":  # an upstream that needs no weights
        conf["frontend_conf"]["frontend_conf"]["upstream"] = "mfcc"
        conf["frontend_conf"]["download_dir"] = str(tmp_path)
    options = ["--token_list", str(tokens), "--token_type", "word", "--output_dir", str(tmp_path)]
    if recipe == "asr2":
        options += ["--model", "discrete_asr", "--src_token_list", str(sources)]
        options += ["--src_token_type", "null", "--model_conf", "patch_size=1"]
    if not reads_audio:
        options += ["--frontend", "code_mixture", "--frontend_conf", "n_codebooks=1"]
    if not reads_audio and recipe == "slu1":
        options += ["--frontend_conf", f"input_size={CODES}"]
    (tmp_path / "conf.yaml").write_text(yaml.safe_dump(conf))
    task = READERS[recipe]
    args = task.get_parser().parse_args(["--config", str(tmp_path / "conf.yaml"), *options])
    torch.manual_seed(0)
    model = task.build_model(args)
    name = "src_text" if recipe == "asr2" else "speech"
    if reads_audio:
        source = torch.randn(2, FRAMES * SAMPLES_PER_FRAME)
    else:
        source = torch.randint(2, CODES - 1, (2, FRAMES))
    batch = {
        name: source,
        f"{name}_lengths": torch.tensor([source.shape[1], source.shape[1] // 2]),
        "text": torch.tensor([[2, 3], [3, -1]]),
        "text_lengths": torch.tensor([2, 1]),
    }
    return conf, model, batch


@pytest.mark.parametrize(
    "path",
    [path for path in CONFIGS if path.parts[-3] in READERS],
    ids=lambda path: "-".join([*path.parts[-4:-2], path.stem]),
)
def test_a_model_learns_from_codes(path, tmp_path):
    conf, model, batch = model_and_batch(path, tmp_path)
    loss, _, _ = model(**batch)
    loss.mean().backward()
    assert torch.isfinite(loss).all()
    # The loss reaches the embeddings of codes, or the part of the encoder that sees the audio.
    if "frontend" in conf:
        inputs = [model.encoder.input.weight]
    else:
        inputs = [model.frontend.embedding.weight]
    assert all(weight.grad.abs().sum() > 0 for weight in inputs)
    for name in conf.get("freeze_param", []):
        model.get_submodule(name)  # raises if there is nothing to freeze

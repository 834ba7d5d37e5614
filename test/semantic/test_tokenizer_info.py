import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from espnet_stacodec.errors import ConfigError, TokenError
from espnet_stacodec.semantic.tokenizer_info import TokenizerInfo, UpstreamConfig, make_tag

SSL_CONFIGS = Path(__file__).parents[2] / "egs2" / "TEMPLATE" / "codec1" / "conf" / "ssl"


def test_tags_are_lower_case_and_fit_for_folders() -> None:
    assert make_tag("openai/Whisper-Base", 4, 500) == "openai_whisper_base_l4_km500"
    assert make_tag("their tokens", None, 20) == "their_tokens_km20"


@pytest.mark.parametrize(
    ("file", "tag"),
    [
        ("wavlm_large_l23_km1000", "wavlm_large_l23_km1000"),
        ("hubert_base_l9_km1024", "hubert_base_l9_km1024"),
        ("mfcc_km100", "mfcc_l0_km100"),
        ("whisper_base_l4_km500", "whisper_base_l4_km500"),
    ],
)
def test_shipped_configurations(file: str, tag: str) -> None:
    assert UpstreamConfig.read(SSL_CONFIGS / f"{file}.yaml").tag == tag


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": 3}, "unknown key layers; known are .*num_clusters"),
        ({"layer": -1}, "layer: -1 is not a whole number of 0 or more"),
        ({"num_clusters": 0}, "num_clusters: 0 is not a whole number above 0"),
        ({"num_clusters": True}, "num_clusters: True"),
        ({"backend": "fairseq"}, "'fairseq' is none of s3prl, transformers"),
        ({"fit_hours": 0}, "fit_hours: 0 is not above 0"),
        ({"fit_hours": "ten"}, "fit_hours: ten is not a number"),
        ({"upstream": "--"}, "upstream: '--' is not a name"),
    ],
)
def test_unusable_configurations(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "ssl.yaml"
    path.write_text(yaml.safe_dump({"upstream": "mfcc", "layer": 0, "num_clusters": 4} | change))
    with pytest.raises(ConfigError, match=message) as caught:
        UpstreamConfig.read(path)
    assert str(caught.value).count(str(path)) == 1


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "ssl.yaml"
    path.write_text("upstream: mfcc\nlayer: 0\n")
    with pytest.raises(ConfigError, match="num_clusters must be given"):
        UpstreamConfig.read(path)


def test_path_can_be_overridden() -> None:
    config = UpstreamConfig.read(SSL_CONFIGS / "whisper_base_l4_km500.yaml", "elsewhere")
    assert config.path_or_url == "elsewhere"


def test_info_of_a_foreign_tokenizer(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.yaml"
    path.write_text("name: Their Tokens\nnum_clusters: 20\nauthor: somebody\n")
    info = TokenizerInfo.read(tmp_path)
    assert (info.tag, info.num_clusters, info.layer) == ("their_tokens_km20", 20, None)
    path.write_text("name: Their Tokens\nnum_clusters: 21\nauthor: somebody\n")
    assert TokenizerInfo.read(path).fingerprint != info.fingerprint


def test_written_info_reads_back(tmp_path: Path) -> None:
    info = TokenizerInfo("theirs", None, 20, 50.0, "0123456789abcdef")
    info.write(tmp_path)
    assert TokenizerInfo.read(tmp_path) == info
    dataclasses.replace(info, layer=3).write(tmp_path)
    assert TokenizerInfo.read(tmp_path).layer == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("num_clusters: 20", "a name or an upstream, must be given"),
        ("name: theirs", "num_clusters, and a name"),
        ("name: theirs\nnum_clusters: 20\nframe_rate_hz: 25", "the codec needs 50 tokens"),
        ("name: theirs\nnum_clusters: 20\nlayer: last", "layer last"),
        ("name: theirs\nnum_clusters: 20\nformat_version: 9", "format_version 9"),
    ],
)
def test_unusable_info(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "tokenizer.yaml").write_text(content)
    with pytest.raises(TokenError, match=message):
        TokenizerInfo.read(tmp_path)


def test_reading_descriptions_and_tokens_needs_no_model_library() -> None:
    code = (
        "import sys, espnet_stacodec.semantic.tokenizer_info, espnet_stacodec.semantic.token_files;"
        "sys.exit(bool({'torch', 's3prl', 'transformers', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

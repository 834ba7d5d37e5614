"""The runner of ESPnet's commands."""

import subprocess
import sys

import pytest

from espnet_stacodec.bin import espnet


def test_a_command_runs_with_the_codec_registered():
    ran = subprocess.run(
        [sys.executable, "-m", "espnet_stacodec.bin.espnet", "gan_codec_train", "--help"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "stacodec" in ran.stdout


@pytest.mark.parametrize("command", ["no_such_train", "../train"])
def test_an_unknown_command_is_named(command, capsys):
    with pytest.raises(SystemExit):
        espnet.main([command])
    assert f"ESPnet has no command '{command}'" in capsys.readouterr().err

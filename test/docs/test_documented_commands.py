"""The commands and options that README and docs name exist."""

import argparse
import functools
import importlib.util
import re
import sys
from pathlib import Path

import pytest
from documents import (
    OPTION,
    PAGES,
    ROOT,
    Command,
    commands,
    inline_code,
    is_elsewhere,
    module_of,
    name_of,
    section,
    table,
)

CODEC_STAGES = ROOT / "egs2/TEMPLATE/codec1/codec.sh"
READER_STAGES = ROOT / "egs2/TEMPLATE/codes_to_text.sh"
# Scripts without options of their own; the last one is ESPnet's.
SCRIPTS = (
    *("tools/test.sh", "tools/test_lowest.sh", ".ci/run", "tools/link_espnet.sh"),
    *("egs2/folder/codec1/run_shipped.sh", "egs2/folder/codec1/ship.sh"),
    "../TEMPLATE/asr2/setup.sh",
)
OF_THE_SYSTEM = ("find", "arecord", "aplay")
# Options of ESPnet's own scripts and of the data preparation, where prose names them.
OTHERS = {
    *("--asr_config", "--feats_type", "--tokenization_choice", "--eval_valid_set"),
    *("--max_speakers", "--help", "--stop-stage"),
}


@functools.cache
def stage_options(script: Path) -> set[str]:
    """Return the options of a stage script: the variables that its help lists."""
    text = script.read_text(encoding="utf-8")
    last = "hub_repo" if script == CODEC_STAGES else "test_sets"
    listed = re.search(rf"^stage=.*^{last}=", text, re.DOTALL | re.MULTILINE)
    assert listed
    return variables(listed[0])


def variables(text: str) -> set[str]:
    """Return the options whose defaults a part of a script sets."""
    return {f"--{name}" for name in re.findall(r"^([a-z_]+)=", text, re.MULTILINE)}


def own_options(recipe: Path) -> set[str]:
    """Return the options of a recipe beside those of its stage script."""
    path = recipe / "local/options.sh"
    return variables(path.read_text(encoding="utf-8")) if path.exists() else set()


def stages_of(recipe: Path) -> Path | None:
    """Return the stage script of a recipe's folder; None for egs2/mini, which has no options."""
    if (recipe / "codec.sh").exists():
        return CODEC_STAGES
    return READER_STAGES if (recipe / "path.sh").exists() else None


@functools.cache
def parser_of(module: str) -> argparse.ArgumentParser:
    """Return the parser of a command in bin/, or of the ablations."""
    if module == "ablations":
        sys.path.insert(0, str(ROOT / "egs2/TEMPLATE/codec1/local"))
        return importlib.import_module(module).get_parser()
    return importlib.import_module(f"espnet_stacodec.bin.{module}").get_parser()


@functools.cache
def parser_of_tool(path: Path) -> argparse.ArgumentParser:
    """Return the parser of a program in tools/."""
    return module_of(path).get_parser()


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the parsers of a command's subcommands by name."""
    actions = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return {name: sub for action in actions for name, sub in action.choices.items()}


def options_of(parser: argparse.ArgumentParser) -> set[str]:
    """Return all options of a parser and its subcommands."""
    own = {option for action in parser._actions for option in action.option_strings}
    return own.union(*(options_of(sub) for sub in subparsers(parser).values()))


def check_stage_options(command: Command, words: tuple[str, ...]) -> None:
    """Check the options of a recipe's run.sh, and the configurations they name."""
    recipe = (command.folder / command.words[0]).parent.resolve()
    script = stages_of(recipe)
    known = {"--help"} | (stage_options(script) if script else set()) | own_options(recipe)
    given = {word.split("=")[0].replace("-", "_").replace("__", "--", 1) for word in options(words)}
    assert given <= known, f"{command}: {given - known}"
    for word in words:
        assert not word.startswith("conf/") or (recipe / word).exists(), f"{command}: {word}"


def options(words: tuple[str, ...]) -> list[str]:
    """Return the words that are options; those inside a quoted word are not."""
    return [word for word in words if re.fullmatch(r"--[\w-]+(=.*)?", word)]


def check_parser(parser: argparse.ArgumentParser, words: tuple[str, ...], command: object) -> None:
    """Let a command's own parser read its options."""
    try:
        parser.parse_args(words)
    except SystemExit as end:
        assert end.code == 0, f"{command}: its parser refuses it"


def check(command: Command) -> None:
    """Check one command of a shell block."""
    program, *rest = command.words
    words = tuple(rest)
    if program == ".":
        assert (command.folder / words[0]).is_file(), str(command)
    elif program == "stacodec":
        check_parser(parser_of("stacodec"), words, command)
    elif program == "python":
        if words[0].startswith("tools/"):
            check_parser(parser_of_tool(ROOT / words[0]), words[1:], command)
            return
        assert words[0] == "-m", f"{command}: name a module"
        package, _, module = words[1].rpartition(".")
        if package == "espnet2.bin":
            check_parser(importlib.import_module(words[1]).get_parser(), words[2:], command)
            return
        assert package == "espnet_stacodec.bin", str(command)
        check_parser(parser_of(module), words[2:], command)
        if module == "espnet":
            assert importlib.util.find_spec(f"espnet2.bin.{words[2]}"), str(command)
    elif program in OF_THE_SYSTEM:
        pass
    elif program == "tools/gpu_check.sh":
        assert (command.folder / program).is_file(), str(command)
        check_parser(parser_of("gpu_check"), ("--configs", "a", *words), command)
    elif program in SCRIPTS:
        there = is_elsewhere(command.folder) or (command.folder / program).is_file()
        assert there, str(command)
        assert not options(words), str(command)
    elif program.endswith(("run_ablations.sh", "run_miniature.sh")):
        assert (command.folder / program).is_file(), str(command)
        if program.endswith("run_miniature.sh"):
            words = words[2:]  # behind the folders of data and teacher
        required = ("--train_set", "a", "--valid_set", "a", "--test_set", "a", "--ssl_config", "a")
        check_parser(parser_of("ablations"), required + words, command)
    else:
        assert program.endswith("run.sh"), f"{command}: this test does not know {program}"
        assert (command.folder / program).is_file(), str(command)
        check_stage_options(command, words)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_of_shell_blocks_exist_and_take_their_options(page):
    for command in commands(page):
        check(command)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_options_in_the_text_exist(page):
    """Every one of them, of whatever command; it is named where it is explained."""
    known = OTHERS | stage_options(CODEC_STAGES) | stage_options(READER_STAGES)
    known |= {o for path in (ROOT / "egs2").glob("*/*/local") for o in own_options(path.parent)}
    for module in (ROOT / "espnet_stacodec/bin").glob("[a-z]*.py"):
        known |= options_of(parser_of(module.stem))
    known |= options_of(parser_of("ablations"))
    known |= options_of(parser_of_tool(ROOT / "tools/make_samples.py"))
    named = {option for code in inline_code(page) for option in OPTION.findall(code)}
    assert named <= known, f"{named - known}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_exist(page):
    for code in inline_code(page):
        for module in re.findall(r"python -m (espnet_stacodec\.bin\.\w+)", code):
            assert importlib.util.find_spec(module), code
        if found := re.fullmatch(r"stacodec ([a-z]+)( .*)?", code):
            assert found[1] in subparsers(parser_of("stacodec")), code


@pytest.mark.parametrize(
    ("page", "script"), [("recipes.md", CODEC_STAGES), ("downstream.md", READER_STAGES)]
)
def test_each_option_of_the_stages_has_its_line(page, script):
    rows = table(section(ROOT / "docs" / page, "Options"))
    documented = [option for row in rows for option in OPTION.findall(row[0])]
    assert len(documented) == len(set(documented))
    assert set(documented) == stage_options(script)


def test_each_option_of_the_folder_recipe_has_its_line():
    rows = table(section(ROOT / "docs/recipes.md", "Own recordings"))
    documented = [option for row in rows for option in OPTION.findall(row[0])]
    assert sorted(documented) == sorted(own_options(ROOT / "egs2/folder/codec1"))


@pytest.mark.parametrize("name", sorted(subparsers(parser_of("stacodec"))))
def test_each_option_of_the_command_has_its_line(name):
    parser = subparsers(parser_of("stacodec"))[name]
    common = {"-h", "--help", "--log_level", "--debug"}
    expected = options_of(parser) - common | {
        action.dest for action in parser._actions if not action.option_strings
    }
    text = section(ROOT / "docs/api.md", f"`stacodec {name}`")
    documented = [word for row in table(text) for word in re.findall(r"`([^`]+)`", row[0])]
    assert sorted(documented) == sorted(expected)


def test_a_wrong_option_is_noticed():
    """The checks above can fail."""
    recipe = ROOT / "egs2/mini/codec1"
    for words in (
        ("./run.sh", "--trainset", "x"),
        ("./run.sh", "--train_config", "conf/gone.yaml"),
        ("stacodec", "encode", "--model", "x", "a.wav"),
        ("stacodec", "transcode"),
        ("python", "-m", "espnet_stacodec.bin.pack", "--model", "x", "--zip", "y"),
        ("python", "-m", "espnet_stacodec.bin.espnet", "no_such_train"),
        ("./no_run.sh",),
    ):
        with pytest.raises((AssertionError, ModuleNotFoundError)):
            check(Command(recipe, words))

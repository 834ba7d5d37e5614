"""The files, modules and links that README and docs name exist, and their Python runs."""

import ast
import importlib
import inspect
import itertools
import re
from pathlib import Path

import pytest
import soundfile
from documents import PAGES, ROOT, anchors, blocks, inline_code, module_of, name_of, prose

from espnet_stacodec import AudioCoding
from espnet_stacodec.pretrained.shipped.lookup import DEFAULT_NAME, shipped_names

TOP = ("README.md", "CHANGELOG.md", "docs/", "egs2/", "espnet_stacodec/", "test/", "tools/", ".ci/")
MADE_BY_RECIPES = {"data", "dump", "exp", "downloads"}
IN_RECIPES = ("conf/", "local/", "train_", "run_")


def expand(path: str) -> list[str]:
    """Return a path for each of its {alternatives}, with * for <names> and PLACEHOLDERS."""
    path = re.sub(r"<[^>]+>|\b[A-Z]{3,}\b(?!\.md)", "*", path)
    parts = [part.split(",") for part in re.split(r"\{([^}]*)\}", path)]
    parts = [[",".join(part)] if i % 2 == 0 else part for i, part in enumerate(parts)]
    return ["".join(choice) for choice in itertools.product(*parts)]


def missing(code: str) -> list[str]:
    """Return the paths of inline code that are nowhere."""
    if not re.fullmatch(r"[\w.{},*<>/-]+", code):
        return []
    if code.startswith(TOP):
        if MADE_BY_RECIPES & set(Path(code).parts):
            return []
        return [path for path in expand(code.rstrip("/")) if not any(ROOT.glob(path))]
    if code.startswith(IN_RECIPES) and code.endswith((".yaml", ".py", ".sh")):
        below = "" if code.startswith(("conf/", "local/", "run_")) else "conf/"
        return [p for p in expand(code) if not any(ROOT.glob(f"egs2/*/*/{below}{p}"))]
    return []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_exist(page):
    assert [path for code in inline_code(page) for path in missing(code)] == []


@pytest.mark.skipif(DEFAULT_NAME not in shipped_names(), reason="no codec is shipped")
def test_readme_has_the_scores_of_the_card():
    quote_scores = module_of(ROOT / "tools/quote_scores.py")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert quote_scores.quoted(readme, quote_scores.card_table()) == readme
    # And others would be noticed.
    assert quote_scores.quoted(readme, "| other |\n") != readme


def test_a_file_that_is_gone_is_noticed():
    assert missing("espnet_stacodec/gone.py") == ["espnet_stacodec/gone.py"]
    assert missing("conf/{train_sta,gone}.yaml") == ["conf/gone.yaml"]
    assert missing("egs2/<corpus>/codec1/run.sh") == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        other = (page.parent / file).resolve() if file else page
        assert other.exists(), f"{target}: no such file"
        assert not anchor or anchor in anchors(other), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_modules_exist(page):
    for code in inline_code(page):
        if re.fullmatch(r"espnet_stacodec(\.\w+)+", code):
            parts = code.split(".")
            for end in range(len(parts), 0, -1):
                try:
                    found: object = importlib.import_module(".".join(parts[:end]))
                    break
                except ModuleNotFoundError:
                    continue
            for name in parts[end:]:
                found = getattr(found, name)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_calls_what_there_is(page):
    """Imports resolve; what is called on AudioCoding takes these arguments."""
    for block in blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names), ast.unparse(node)
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) in ("codec", "AudioCoding"):
                signature = inspect.signature(getattr(AudioCoding, node.func.attr))
                bound = [] if ast.unparse(node.func.value) == "AudioCoding" else [None]
                keywords = {str(keyword.arg): None for keyword in node.keywords}
                signature.bind(*bound, *node.args, **keywords)


@pytest.mark.parametrize(("page", "channels"), [("README.md", 2), ("docs/api.md", 1)])
def test_the_first_python_block_runs(page, channels, plain, noise, tmp_path, monkeypatch):
    """As it stands, on a file of another rate."""
    wave = noise(22050)[:, None].repeat(channels, 1)
    soundfile.write(tmp_path / "a.wav", wave, 44100)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(AudioCoding, "from_pretrained", lambda *args, **kwargs: plain)
    block = blocks(ROOT / page, "python")[0]
    names: dict[str, object] = {}
    exec(compile(block, page, "exec"), names)
    assert {"codec", "codes", "audio"} <= set(names)

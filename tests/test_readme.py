"""The README and the docs tell the truth: tables from the code, commands and code that run."""

# Features made here have both sides, which their type leaves open.
# pyright: reportOptionalMemberAccess=false, reportOptionalOperand=false
# pyright: reportOptionalSubscript=false, reportArgumentType=false

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.main import get_command

from ncscope.diagnosis.summary import markdown_table
from ncscope.zoo.learners import methods_table
from ncscope_cli.main import app
from tests.made_features import noisy

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What needs weights or data that no test machine has is run on stand-ins of the same form.
STAND_INS = {
    "--backbone ViT-B-16-quickgelu --pretrained openai": "--backbone RN50 --pretrained random",
    "--backbone ViT-B-16.pt": "--backbone RN50 --pretrained random",
}


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    lines = [
        line[2:].partition("  #")[0].strip()
        for page in ("README.md", "docs/methods.md")
        for block in blocks(ROOT / page, "console")
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    return [line for line in lines if line.startswith("ncscope ")]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the files that the README's commands speak of."""
    folder = tmp_path_factory.mktemp("readme")
    for k, name in enumerate(("features", "clip", "coop", "maple")):
        features = noisy(seed=k)
        np.savez(
            folder / f"{name}.npz",
            image=features.image.numpy(),
            label=features.label.numpy(),
            text=features.text.numpy(),
            logit_scale=np.float32(100),
            classnames=np.array(features.classnames),
        )
    [own] = [
        code for code in blocks(ROOT / "docs/methods.md", "python") if "class MyLearner" in code
    ]
    (folder / "my_learner.py").write_text(own)
    torch.save({"shift": torch.ones(1024)}, folder / "my.pt")
    for name in ("cat", "dog", "horse"):
        (folder / "photos" / name).mkdir(parents=True)
        for k in range(3):
            colour = (60 * k, 20 * len(name), 90)
            Image.new("RGB", (32, 32), colour).save(folder / "photos" / name / f"{k}.png")
    return folder


def test_the_page_of_the_measures_carries_the_glossary_as_the_code_has_it():
    assert markdown_table() in (ROOT / "docs" / "measures.md").read_text()


def test_the_page_of_the_methods_carries_them_as_the_code_has_them():
    assert methods_table() in (ROOT / "docs" / "methods.md").read_text()


def test_the_readme_is_short_enough_to_be_read():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 100


def test_the_readme_has_commands_to_test():
    assert len(commands()) >= 4


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_runs(command, workplace):
    for real, stand_in in STAND_INS.items():
        command = command.replace(real, stand_in)
    arguments = shlex.split(command)[1:]
    if arguments[0] in ("extract", "analyze"):
        arguments += ["--cache", "off"]
    done = subprocess.run(
        [sys.executable, "-m", "ncscope_cli.main", *arguments],
        cwd=workplace,
        env={
            "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}",
            "PATH": "/usr/bin:/bin",
            "HOME": str(workplace),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    monkeypatch.setattr("webbrowser.open", lambda _url: True)
    for code in blocks(page, "python"):
        exec(compile(code, page.name, "exec"), {"__name__": "page"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_commands_of_a_page_have_the_options_they_name(page):
    group: Any = get_command(app)
    written = re.findall(r"(?:^\$ |^ +|`)ncscope (\w+)([^`\n]*)", page.read_text(), re.MULTILINE)
    for verb, rest in written:
        params = group.get_command(None, verb).params
        known = {option for parameter in params for option in parameter.opts} | {"--help", "-h"}
        assert set(re.findall(r"(?<!\S)--?[a-z][\w-]*", rest.partition("  #")[0])) <= known, rest


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_of_a_page_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if "://" not in target and not target.startswith("gallery/"):  # made with the site
            assert (page.parent / target).exists(), target

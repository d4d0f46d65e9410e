"""Import directions: a module may import modules on lower lines only, and each heavy foreign
library is behind the files that are named here."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [  # data flows up this list, imports point down it
    {"ncscope_cli"},
    {"ncscope.demo", "ncscope.integrations", "ncscope.plots"},
    {"ncscope.grids"},
    {"ncscope.comparison"},
    {"ncscope.tuning"},
    {"ncscope.page"},
    {"ncscope.figures"},
    {"ncscope.diagnosis"},
    {"ncscope.features"},
    {"ncscope.toy.making"},
    {"ncscope.toy"},
    {"ncscope.zoo"},
    {"ncscope.checkpoint"},
    {"ncscope.clip"},
    {"ncscope.data", "ncscope.metrics"},
    {"ncscope.pickles"},
    {"ncscope._checks", "ncscope.opening", "ncscope.text", "ncscope.writing"},
    {"ncscope.errors"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FOREIGN = {
    "lightning": ["ncscope/integrations/lightning.py"],
    "open_clip": ["ncscope/clip/installed.py", "ncscope/toy/making/pretrain*"],
    "plotly": ["ncscope/figures/figures.py", "ncscope/page/page.py"],
    "torchmetrics": ["ncscope/diagnosis/streaming.py"],
    "transformers": ["ncscope/integrations/transformers.py"],
    "typer": ["cli/ncscope_cli/*"],
}
FACADE = ROOT / "ncscope/__init__.py"  # names the public functions of every room, imported late
FILES = sorted({*ROOT.glob("ncscope/**/*.py"), *ROOT.glob("cli/ncscope_cli/**/*.py")} - {FACADE})
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


def dotted(path: Path) -> str:
    """A file's name as imports have it."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[parts[0] == "cli" :]).removesuffix(".__init__")


MODULES = {dotted(path): path for path in FILES}


def layer_of(module: str) -> str | None:
    return next((name for name in LEVEL if f"{module}.".startswith(f"{name}.")), None)


def imported(path: Path) -> Iterator[str]:
    """Dotted names of all imports in a file, those inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@every_file
def test_imports_point_down(path):
    here = layer_of(dotted(path))
    assert here is not None, f"{path} is in no layer"
    for there in filter(None, map(layer_of, imported(path))):
        assert there == here or LEVEL[there] > LEVEL[here], f"{here} imports {there}"


def test_no_import_goes_in_a_circle():
    arrows = {
        name: {
            there if there in MODULES else there.rpartition(".")[0]
            for there in imported(path)
        } & set(MODULES) - {name}
        for name, path in MODULES.items()
    }  # fmt: skip
    TopologicalSorter(arrows).prepare()  # raises CycleError, which names the circle


@every_file
def test_nothing_below_imports_the_package_itself(path):
    if layer_of(dotted(path)) == "ncscope_cli":
        return
    for there in imported(path):
        of_package = there == "ncscope" or there.rpartition(".")[0] == "ncscope"
        assert not of_package or there in MODULES, f"{there}: import the module itself"


@pytest.mark.parametrize("path", [path for path in FILES if path.name != "__init__.py"], ids=dotted)
def test_a_file_is_worth_its_name_and_fits_a_reading(path):
    assert path.parts[-2] == "ncscope_cli" or 40 <= len(path.read_text().splitlines()) <= 350


@every_file
def test_foreign_libraries_stay_behind_their_files(path):
    name = path.relative_to(ROOT).as_posix()
    for library, allowed in FOREIGN.items():
        if not any(fnmatch(name, pattern) for pattern in allowed):
            used = [there for there in imported(path) if f"{there}.".startswith(f"{library}.")]
            assert not used, f"{name} imports {library}; only {', '.join(allowed)} may"


def test_importing_the_package_does_not_import_torch():
    code = "import ncscope, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

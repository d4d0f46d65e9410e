"""Import directions: a module may import modules on lower lines only, and each heavy foreign
library is behind the files that are named here."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LAYERS = [  # data flows up this list, imports point down it
    {"ncscope_cli"},
    {"ncscope.demo", "ncscope.plots"},
    {"ncscope.grids"},
    {"ncscope.comparison"},
    {"ncscope.tuning"},
    {"ncscope.page"},
    {"ncscope.figures"},
    {"ncscope.diagnosis"},
    {"ncscope.features"},
    {"ncscope.toy"},
    {"ncscope.zoo"},
    {"ncscope.checkpoint"},
    {"ncscope.clip"},
    {"ncscope.data", "ncscope.metrics"},
    {"ncscope.pickles"},
    {"ncscope._checks", "ncscope.text", "ncscope.writing"},
    {"ncscope.errors"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
FOREIGN = {
    "open_clip": ["ncscope/clip/backbone.py", "ncscope/toy/making/pretrain*"],
    "plotly": ["ncscope/figures/figures.py", "ncscope/page/page.py"],
    "typer": ["cli/ncscope_cli/*"],
}
FILES = sorted([*ROOT.glob("ncscope/**/*.py"), *ROOT.glob("cli/ncscope_cli/**/*.py")])
every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))


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
    parts = path.relative_to(ROOT).with_suffix("").parts
    here = layer_of(".".join(parts[1:] if parts[0] == "cli" else parts))
    assert here is not None, f"{path} is in no layer"
    for there in filter(None, map(layer_of, imported(path))):
        assert there == here or LEVEL[there] > LEVEL[here], f"{here} imports {there}"


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

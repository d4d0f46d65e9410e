"""Several processes: the numbers of one, one writer, one line of refusal, nobody left waiting."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
import torch
import torch.distributed as dist
from PIL import Image
from torch.distributed import HashStore  # pyright: ignore[reportPrivateImportUsage]
from torch.testing import assert_close
from typer.testing import CliRunner

from ncscope.errors import DataError
from ncscope.features.bundle import Features, read_features, write_features
from ncscope.features.processes import ALONE, exchanged, join, joined, leave
from ncscope_cli.main import app
from tests.processes import LAUNCH, assert_same_measures, together
from tests.tiny_clip import save_folder


def by_itself(*arguments):
    """What a run of the command line in this process prints."""
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Eleven images of three classes and a small model: batches of two leave an uneven rest."""
    root = tmp_path_factory.mktemp("given")
    random = np.random.default_rng(0)
    for i in range(11):
        path = root / "images" / "abc"[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    return [
        "zero-shot", "--data", root / "images", "--backbone", save_folder(root / "tiny"),
        "--batch-size", 2,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def alone(given, tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "f.safetensors"
    by_itself("extract", *given, "--cache", "off", "--out", path)
    return path


def test_two_processes_extract_what_one_does_and_one_of_them_writes_and_caches(
    given, alone, tmp_path
):
    out, cache = tmp_path / "f.safetensors", tmp_path / "cache"
    done = together("extract", *given, "--cache", cache, "--out", out)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("wrote ") == 1
    one, two = read_features(alone), read_features(out)
    assert_close(two.image, one.image, atol=1e-6, rtol=0)
    assert_close(two.text, one.text, atol=1e-6, rtol=0)
    assert_close(two.label, one.label)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [out.name]
    assert len(list((cache / "features").iterdir())) == 1


def test_two_processes_measure_what_one_does_to_1e_6(given, alone, tmp_path):
    arguments = (alone, *given, "--cache", "off", "--no-html", "--bootstrap", "5")
    one = by_itself("analyze", *arguments, "--out", tmp_path / "one")
    two = together("analyze", *arguments, "--out", tmp_path / "two")
    assert two.returncode == 0, two.stderr
    assert two.stdout.splitlines()[0] == one.splitlines()[0]
    first, second = (
        json.loads((tmp_path / name / "metrics.json").read_text())["runs"]
        for name in ("one", "two")
    )
    for run, other in zip(first, second, strict=True):
        assert_same_measures(run["measures"], other["measures"])
        assert run["intervals"]["values"].keys() == other["intervals"]["values"].keys()
        for name, interval in other["intervals"]["values"].items():
            found = run["intervals"]["values"][name]
            assert found == pytest.approx(interval, rel=1e-5, abs=1e-6), name


def test_a_refusal_in_one_process_ends_all_with_one_line(given, tmp_path):
    folder = tmp_path / "images"
    for i in range(4):  # the last one, of the second process's share, is no image
        (folder / "ab"[i // 2]).mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40)).save(folder / "ab"[i // 2] / f"{i}.png")
    (folder / "b" / "3.png").write_text("no image")
    done = together("extract", *given, "--data", folder, "--out", tmp_path / "f.npz")
    assert done.returncode == 1
    assert done.stderr.count("ncscope: ") == 1
    assert "1 of 4 files cannot be read as images: b/3.png" in done.stderr
    assert not (tmp_path / "f.npz").exists()


def test_tuning_that_is_refused_in_all_processes_says_so_once(tmp_path):
    (tmp_path / "log.jsonl").write_text("")
    words = ("tune", "coop", "--data", "toy:colours", "--lcd-form", "cosine")
    done = together(*words, "--out", tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("holds a run") == 1, done.stderr
    assert done.stderr.count("--lcd-form has no effect") == 1


BODY = """
import os, sys, torch
from ncscope.errors import DataError, NcscopeError
from ncscope.features.processes import exchanged, from_one, in_order, joined
from ncscope.features.processes import of_first, require_same
torch.set_num_threads(1)
rank = os.environ["RANK"]
def say(line):  # in one piece, since two processes write
    os.write(1, (line + "\\n").encode())
for {body}:
    try:
        with joined(say=lambda error: say(f"said: {{error}}")) as spread:
            body(spread)
        say(f"fine {{body.__name__}} {{rank}}")
    except NcscopeError as error:
        say(f"refused: {{error}} {{rank}}")
"""


def script(tmp_path, body, arguments=()):
    path = tmp_path / "body.py"
    path.write_text(body)
    command = [*LAUNCH, path, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


SEVERAL = """
def refusing(spread):
    if spread.rank == 1:
        raise DataError("only here")
    exchanged("waiting", spread)

def ordering(spread):
    mine = torch.tensor([[0.0, 1], [2, 3], [5, 6]]) if spread.first else torch.empty(0, 0)
    rows, places = in_order(mine, torch.tensor([7, 1, 4])[: len(mine)], spread)
    assert places.tolist() == [1, 4, 7] and rows.tolist() == [[2, 3], [5, 6], [0, 1]]
    every = torch.arange(3) * 2 + spread.rank
    rows, places = in_order(every[:, None].float(), every, spread)
    assert places.tolist() == rows[:, 0].tolist() == list(range(6))
    late = (None, None) if spread.first else (torch.ones(2, 3), torch.tensor([0, 5]))
    rows, places = from_one(*late, spread)
    assert rows.tolist() == [[1, 1, 1]] * 2 and places.tolist() == [0, 5]
    assert from_one(None, None, spread) is None
    other = (torch.full((2, 3), float(spread.rank)), torch.tensor([spread.rank, 5]))
    rows, places = from_one(*other, spread)  # caches of two machines that are not the same
    assert rows.tolist() == [[0, 0, 0]] * 2 and places.tolist() == [0, 5]
    told = of_first({"a": [1, None, 0.1]} if spread.first else "other", spread)
    assert told == {"a": [1, None, 0.1]}
    half = torch.ones(2, 3).bfloat16() if spread.first else torch.empty(0, 0)
    places = torch.tensor([1, 0])[: len(half)]
    rows, _ = in_order(half, places, spread)
    assert rows.dtype == torch.bfloat16 and rows.tolist() == [[1, 1, 1]] * 2
    kept = from_one(*((half, places) if spread.first else (None, None)), spread)
    assert kept[0].dtype == torch.bfloat16 and kept[0].tolist() == [[1, 1, 1]] * 2

def differing(spread):
    require_same({"images": "a", "classes": ["b"]}, spread)
    same = {"images": "a", "labels": None, "classes": [str(spread.rank)]}
    require_same(same | {"logits": spread.rank}, spread)

def nesting(spread):
    for refused in (0, 1):
        try:
            with joined() as within:
                assert within is spread
                if spread.rank == refused:
                    raise DataError("within")
                exchanged("waiting", spread)
        except DataError as error:
            assert str(error) == "within"
    assert exchanged(spread.rank, spread) == [0, 1]
    with joined():
        refusing(spread)

def of_few(spread):
    from types import SimpleNamespace
    from ncscope.features.learned_text import text_after_images
    encoded = SimpleNamespace(rows=torch.tensor([[2.0, 3.0]]))
    def per_image(names, rows):
        return torch.stack([row.repeat(len(names), 1) for row in rows])
    stranger = SimpleNamespace(text_features_per_image=per_image, device="cpu")
    images = SimpleNamespace(classnames=("a", "b"))
    text, _ = text_after_images(
        stranger, torch.zeros(2, 2), images, encoded, asked="per-image", spread=spread
    )
    assert text.tolist() == [[[2, 3], [2, 3]]]

def resampling(spread):
    from ncscope.diagnosis.intervals import intervals
    from ncscope.diagnosis.prepare import prepare
    from ncscope.diagnosis.sides import image_side, numbers_of
    from ncscope.features.bundle import read_features
    prepared = prepare(read_features(sys.argv[1]), normalise=True)
    side = image_side(prepared)
    numbers = {n: float(v) for part in numbers_of(prepared, side) for n, v in part.items()}
    for count in (1, 2, 21):  # fewer than processes, one each, a share that is not full
        alone = intervals(prepared, side, numbers, replicates=count, seed=3)
        shared = intervals(prepared, side, numbers, replicates=count, seed=3, spread=spread)
        of_text = [name for name in alone[2] if name.startswith("delta_lcd") and spread.rank]
        for name in of_text:  # which is the first process's
            del alone[2][name], alone[0]["values"][name]
        assert alone[:2] == shared[:2], (alone, shared)
        assert alone[2].keys() == shared[2].keys()
        for name, values in alone[2].items():
            assert str(values.tolist()) == str(shared[2][name].tolist()), name  # NaN, too
        wanted = 0 if count == 1 else 16 - 2 * spread.rank
        assert len(alone[0]["values"]) == wanted, alone[0]["values"].keys()

def analysing(spread):
    from ncscope_cli.main import app
    words = ["analyze", sys.argv[1], sys.argv[3], "--out", sys.argv[2], "--bootstrap", "9"]
    status = app([*words, "--intervene", "--quiet"], standalone_mode=False)
    assert status == 1, status  # one source is no feature file
    heavy = ("plotly", "sklearn", "ncscope.page.page", "ncscope.figures.figures")
    assert (rank == "0") == any(name in sys.modules for name in heavy[:1]), sys.modules.keys()
    assert rank == "0" or not any(name in sys.modules for name in heavy)
"""


def test_several_things_one_after_the_other_in_one_program(tmp_path):
    """Refusing, rows in order of their places (where one has none, too), intervals that are those
    of one process, and a page that only the first process makes."""
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(4, (300,), generator=generator)
    label[::7] = -1
    centres = torch.randn(4, 8, generator=generator)
    image = centres[label] + torch.randn(300, 8, generator=generator)
    path = tmp_path / "f.safetensors"
    write_features(Features(image, label, centres, tuple("abcd"), torch.tensor(50.0)), path)
    names = ("refusing", "nesting", "differing", "ordering", "of_few", "analysing", "resampling")
    body = SEVERAL + BODY.format(body=f"body in ({', '.join(names)})")
    damaged = tmp_path / "damaged.npz"
    damaged.write_text("nothing")
    done = script(tmp_path, body, (path, tmp_path / "out", damaged))
    assert done.stderr.count("damaged.npz is left out: ") == 1, done.stderr
    assert done.stderr.count("left out 1 of 2 sources") == 1
    assert done.stdout.count("said: only here") == 2, done.stderr
    assert done.stdout.count("refused: only here") == 4
    said = "process 1 has other classes and logits than the first; expected the same files"
    assert done.stdout.count(f"said: {said}") == 1
    assert done.stdout.count(f"refused: {said}") == 2
    for name in names[3:]:
        for rank in (0, 1):
            assert f"fine {name} {rank}" in done.stdout, done.stderr
    assert (tmp_path / "out" / "report.html").exists()


def one(body):
    """A program of one thing."""
    return f"def once(spread):{body}\n" + BODY.format(body="body in (once,)")


def test_a_process_that_dies_leaves_nobody_waiting(tmp_path):
    body = """
        if spread.rank == 1:
            import os
            os._exit(3)
        exchanged("waiting", spread)
    """
    assert script(tmp_path, one(body)).returncode == 1


def test_a_training_step_whose_other_process_is_gone_is_refused_in_one_line(tmp_path):
    body = """
        import os
        from ncscope.tuning.step import gathered, summed
        step = [lambda: gathered(torch.ones(1, 2), [1, 1], spread),
                lambda: summed([torch.ones(2)], spread)]
        if spread.rank == 1:
            print("left", flush=True)
            os._exit(0)
        for take in step:
            try:
                take()
            except NcscopeError as error:
                say(f"step refused: {error}")
    """
    done = script(tmp_path, one(body))
    assert done.stdout.count("step refused: another of the processes has ended") == 2, done.stderr


def test_alone_there_is_nobody_to_ask(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as spread:
        assert spread == ALONE
        assert exchanged({"a": 1}, spread) == [{"a": 1}]
    with pytest.raises(DataError, match="as it was"), joined():
        raise DataError("as it was")


@contextmanager
def callers_group(backend, monkeypatch):
    """A group that the program itself has begun, in one of two processes of torchrun."""
    dist.init_process_group(backend, store=HashStore(), rank=0, world_size=1)
    try:
        for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
            monkeypatch.setenv(name, "0")
        monkeypatch.setenv("WORLD_SIZE", "2")
        yield
    finally:
        dist.destroy_process_group()


def test_a_group_of_the_callers_own_is_used_and_left_alone(monkeypatch):
    with callers_group("gloo", monkeypatch):
        spread = join("cpu")
        leave(spread)
        assert (spread.world, spread.began) == (2, False)
        assert dist.is_initialized()


def test_a_group_of_the_callers_own_that_exchanges_nothing_on_the_cpu_is_refused(monkeypatch):
    refused = r"group is of cuda:gloo only, .*'cpu:gloo,cuda:nccl'"
    with callers_group("cuda:gloo", monkeypatch), pytest.raises(DataError, match=refused):
        join("cpu")


def test_joining_within_what_is_joined_is_the_same(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined() as spread, joined("cuda") as within:
        assert within is spread


def test_incomplete_variables_of_torchrun_are_named(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(DataError, match="WORLD_SIZE is 2 but RANK is not set"):
        join("cpu")


@pytest.mark.slow
def test_moments_of_two_processes_are_merged_over_their_blocks(tmp_path):
    generator = torch.Generator().manual_seed(0)
    label = torch.randint(4, (40000,), generator=generator)  # three blocks: two and one
    image = torch.randn(4, 8, generator=generator)[label] + 3
    image += torch.randn(40000, 8, generator=generator)
    label[::7] = -1
    text = torch.randn(4, 8, generator=generator)
    path = tmp_path / "f.safetensors"
    write_features(Features(image, label, text, tuple("abcd"), torch.tensor(50.0)), path)
    arguments = ("analyze", path, "--no-html", "--bootstrap", "0", "--out")
    by_itself(*arguments, tmp_path / "one")
    assert together(*arguments, tmp_path / "two").returncode == 0
    one, two = (
        json.loads((tmp_path / name / "metrics.json").read_text())["runs"][0]
        for name in ("one", "two")
    )
    assert_same_measures(two["measures"], one["measures"])
    assert two["samples"] == int((label >= 0).sum())


@pytest.mark.parametrize(("words", "code"), [(["--version"], 0), (["extract"], 2)])
def test_a_command_leaves_without_taking_torch_down_and_alone_calls_who_waits_for_the_end(
    words, code
):
    program = (
        "import atexit, sys, weakref; from ncscope_cli.main import entry\n"
        "class Held: pass\n"
        "held = Held(); weakref.finalize(held, print, 'finalised')\n"
        "Held.__del__ = lambda self: print('taken down')\n"
        "atexit.register(print, 'called')\n"
        f"sys.argv = ['ncscope', *{words}]; entry()"
    )
    for world in ("2", "1"):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60,
            env={**os.environ, "WORLD_SIZE": world}, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        assert ("called" in done.stdout) == ("finalised" in done.stdout) == (world == "1")
        assert "taken down" not in done.stdout
        assert "ncscope" in done.stdout + done.stderr  # nothing said is lost

"""Every reader of files, with a sound file of its kind, mutants of it, and what must hold if read.

`python -m tests.attack.readers [CASES] [SEED]` prints a table: files, refused, read, wrong.
"""

import hashlib
import itertools
import json
import math
import sys
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from ncscope.checkpoint.inspect import inspect
from ncscope.checkpoint.reading import read_checkpoint
from ncscope.checkpoint.runlog import read_runlog
from ncscope.clip.folder_config import read_folder_config
from ncscope.clip.hf.config import read_hf_config
from ncscope.clip.hf.images import image_settings
from ncscope.clip.hf.tokens import Vocabulary, read_vocabulary
from ncscope.clip.weights import read_weights
from ncscope.comparison.read import read_outcomes
from ncscope.data.lists import list_split
from ncscope.data.tables import MOST_CLASSES, list_table
from ncscope.diagnosis.training import read_log, read_trajectory
from ncscope.errors import NcscopeError
from ncscope.features.bundle import Features, read_features, write_features
from ncscope.grids.spec import read_spec
from ncscope.tuning.state import State, read_state, write_state
from tests.attack import mutants
from tests.dassl_files import save_dassl
from tests.hf_folders import hf_config, save_processor, save_vocabulary, small_vocabulary
from tests.learner_states import Sizes, cocoop
from tests.run_files import tuned
from tests.run_folders import write_run
from tests.tiny_clip import VIT

STATE = {name: value.contiguous() for name, value in cocoop(Sizes(classes=2, length=8)).items()}
SECONDS = 5  # that no mutant of these small files may take


@dataclass(frozen=True)
class Reader:
    """A file's name, how a sound one is written, how it is read, and what a value must fulfil."""

    name: str
    make: Callable[[Path], object]
    read: Callable[[Path], Any]
    right: Callable[[Any], object]  # raises AssertionError
    kinds: tuple[Callable[..., Iterator[bytes]], ...]


def _same(tensors: dict[str, torch.Tensor]) -> None:
    """What has checksums is what it was."""
    assert tensors.keys() <= STATE.keys()
    assert all(torch.equal(value, STATE[key]) for key, value in tensors.items())


def _tensors(tensors: dict[str, torch.Tensor]) -> None:
    """Where no checksum is: tensors whose every element can be touched."""
    assert tensors
    for value in tensors.values():
        assert value.clone().numel() == math.prod(value.shape)


def _made_features() -> Features:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(25, 8, generator=generator)
    return Features(
        image=rows[:20],
        label=torch.arange(20) % 5,
        text=rows[20:],
        classnames=("a", "b", "c", "d", "e"),
        logit_scale=torch.tensor(100.0),
        provenance={"source": "x", "warnings": ["w"], "learner": {"run": {"accuracy": 50.0}}},
    )


def _arrays() -> dict[str, torch.Tensor]:
    made = _made_features()
    found = {name: getattr(made, name) for name in ("image", "label", "text")}
    return {name: value for name, value in found.items() if value is not None}


def _write_npz(path: Path) -> None:
    made = _made_features()
    assert made.image is not None
    assert made.label is not None
    assert made.text is not None
    np.savez(
        path,
        image=made.image.numpy(),
        label=made.label.numpy(),
        text=made.text.numpy(),
        classnames=np.array(made.classnames),
    )
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    path.write_bytes(mutants.undated(entries, zipfile.ZIP_DEFLATED))


def _features(features: Features) -> None:
    for rows in (features.image, features.text):
        assert rows is None or bool(torch.isfinite(rows).all())
    if features.label is not None:
        assert -1 <= int(features.label.min())
        assert int(features.label.max()) < features.num_classes
    json.dumps(features.provenance, allow_nan=False, ensure_ascii=False).encode()
    assert all(isinstance(note, str) for note in features.warnings)


def _same_features(features: Features) -> None:
    _features(features)
    made = _made_features()
    for name in ("image", "label", "text"):
        found, wanted = getattr(features, name), getattr(made, name)
        assert found is None or torch.equal(found, wanted)


def _state(state: State) -> None:
    assert min(state.epoch, state.step, state.log_bytes) >= 0
    assert isinstance(state.config, dict)


def _write_state(path: Path) -> None:
    write_state(State(3, {"a": torch.ones(4)}, {"lr": 0.1, "shots": [1, 2]}, 17, 9), path)


def _log(log: Any) -> None:
    for rows in (log.steps, log.evaluations):
        steps = [float(row["step"]) for row in rows]
        assert all(map(math.isfinite, steps))
        assert steps == sorted(set(steps))


def _trajectory(found: Any) -> None:
    assert bool(found.text.isfinite().all())
    assert list(found.steps) == sorted(found.steps)
    assert len(found.names) == found.text.shape[1]


def _listing(listing: Any) -> None:
    size = len(listing.classnames)
    assert 0 < size <= MOST_CLASSES
    assert all(-1 <= label < size for label in listing.labels)
    assert len(listing.paths) == len(listing.labels) == len(listing.items)


def _outcomes(outcomes: Any) -> None:
    for outcome in outcomes:
        assert all(v is None or 0 <= v <= 1 for v in outcome.accuracy.values())
        numbers = [v for found in outcome.measures.values() for v in found.values()]
        assert all(map(math.isfinite, numbers))


def _config(found: tuple[dict[str, Any], dict[str, Any]]) -> None:
    text = json.dumps(found)
    assert not any(word in text for word in ("timm_", "hf_", "trust_remote"))


def _sizes(found: dict[str, Any]) -> None:
    for part in ("vision_cfg", "text_cfg"):
        assert 1 <= found[part]["layers"] <= 128
        assert 1 <= found[part]["width"] <= 8192


def _transform(found: dict[str, Any]) -> None:
    assert found["resize_mode"] in ("shortest", "squash")
    assert all(math.isfinite(value) for value in [*found["mean"], *found["std"]])


def _vocabulary(found: Vocabulary) -> None:
    assert all(isinstance(token, str) for pair in found.merges for token in pair)
    assert all(type(number) is int for number in found.ids.values())


_CSV = "path,label,classname,split\n" + "".join(
    f"images/{k}.png,{k % 3},{'abc'[k % 3]},{('train', 'test')[k % 2]}\n" for k in range(12)
)
_SPLIT = {
    part: [[f"{part}/{k}.jpg", k % 3, "abc"[k % 3]] for k in range(6)]
    for part in ("train", "val", "test")
}
_TOML = """
[about]
makes = "runs"
[grid]
method = ["coop", "maple"]
seed = [1, 2, 3]
weights = [{}, {lcd_weight = 0.1, mid_weight = 1.0}]
[fixed]
data = "toy:shapes"
tau = 0.5
recipe = "toy"
"""
_LOG = """** Arguments **
***************
seed: 1
trainer: CoOp
opts: ['DATASET.NUM_SHOTS', '16']
************
** Config **
************
DATASET:
  NAME: OxfordPets
  NUM_SHOTS: 16
  SUBSAMPLE_CLASSES: base
INPUT:
  SIZE: (224, 224)
  TRANSFORMS: ('random_resized_crop', 'random_flip', 'normalize')
MODEL:
  BACKBONE:
    NAME: ViT-B/16
TRAINER:
  COOP:
    CTX_INIT: a photo of a
    N_CTX: 4
  NAME: CoOp
epoch [50/50] batch [18/18] time 0.1 loss 0.2 (0.3) lr 1.0e-05
=> result
* total: 1,788
* correct: 1,600
* accuracy: 89.49%
* error: 10.51%
* macro_f1: 89.31%
"""


def _of(kinds: str) -> tuple[Callable[..., Iterator[bytes]], ...]:
    return tuple(getattr(mutants, f"of_{kind}") for kind in kinds.split())


def _log_lines(path: Path) -> None:
    write_run(path.parent)


READERS = {
    "checkpoint, zip": Reader(
        "model.pth.tar", lambda p: save_dassl(p, STATE),
        lambda p: read_checkpoint(p).tensors, _same, _of("bytes")),
    "checkpoint, inside": Reader(
        "model.pth.tar", lambda p: save_dassl(p, STATE),
        lambda p: (read_checkpoint(p).tensors, inspect(p))[0], _tensors, _of("zip")),
    "checkpoint, legacy": Reader(
        "model.pth.tar", lambda p: save_dassl(p, STATE, zipped=False),
        lambda p: read_checkpoint(p).tensors, _tensors, _of("bytes")),
    "checkpoint, safetensors": Reader(
        "m.safetensors", lambda p: save_file(STATE, p, {"config": '{"a": [1, 2]}'}),
        lambda p: read_checkpoint(p).tensors, _tensors, _of("bytes safetensors")),
    "weights": Reader(
        "clip.pt", lambda p: torch.save({f"visual.{k}": v for k, v in STATE.items()}, p),
        lambda p: read_weights(p, trust=False, published=tuple, cache_dir=None).tensors,
        _tensors, _of("bytes zip")),
    "features, npz": Reader(
        "f.npz", _write_npz, read_features, _same_features, _of("bytes")),
    "features, inside npz": Reader("f.npz", _write_npz, read_features, _features, _of("zip")),
    "features, torch": Reader(
        "f.pt", lambda p: torch.save(_arrays(), p), read_features, _features, _of("bytes zip")),
    "features, npy": Reader(
        "text.npy", lambda p: np.save(p, _arrays()["text"].numpy()), read_features, _features,
        _of("bytes")),
    "features, safetensors": Reader(
        "f.safetensors", lambda p: write_features(_made_features(), p),
        read_features, _features, _of("bytes safetensors")),
    "state": Reader(
        "state.safetensors", _write_state, read_state, _state, _of("bytes safetensors")),
    "trajectory": Reader(
        "trajectory.safetensors", _log_lines, read_trajectory, _trajectory,
        _of("bytes safetensors")),
    "log.jsonl": Reader("log.jsonl", _log_lines, read_log, _log, _of("bytes lines words")),
    "log.txt": Reader(
        "log.txt", lambda p: p.write_text(_LOG), lambda p: read_runlog([p]), lambda _: None,
        _of("bytes words")),
    "split JSON": Reader(
        "split.json", lambda p: p.write_text(json.dumps(_SPLIT)),
        lambda p: list_split(p, p.parent, part=None), _listing, _of("bytes json words")),
    "CSV": Reader(
        "t.csv", lambda p: p.write_text(_CSV),
        lambda p: list_table(p, part=None, classnames=None), _listing, _of("bytes words")),
    "grid, TOML": Reader(
        "g.toml", lambda p: p.write_text(_TOML), read_spec,
        lambda runs: [run.name.encode() for run in runs], _of("bytes words")),
    "metrics.json": Reader(
        "metrics.json",
        lambda p: tuned(p.parent, "coop", "toy:fish", base=0.9, new=0.6, before=(0.5, 0.4),
                        measures={"base": {"nc1/default": 2.0}}, place="."),
        lambda p: read_outcomes([p], before=True), _outcomes, _of("bytes json words")),
    "backbone config": Reader(
        "open_clip_config.json",
        lambda p: p.write_text(json.dumps({"model_cfg": VIT, "preprocess_cfg": {"size": 32}})),
        lambda p: read_folder_config(p, trust=False), _config, _of("bytes json words")),
    "Hugging Face config": Reader(
        "config.json", lambda p: p.write_text(json.dumps(hf_config())),
        lambda p: read_hf_config(p).config, _sizes, _of("bytes json words")),
    "image processor": Reader(
        "preprocessor_config.json", lambda p: save_processor(p.parent),
        lambda p: image_settings(p, kind="clip", side=32), _transform, _of("bytes json words")),
    "vocabulary": Reader(
        "tokenizer.json", lambda p: save_vocabulary(p.parent, *small_vocabulary(), whole=True),
        lambda p: read_vocabulary(p.parent), _vocabulary, _of("bytes json words")),
}  # fmt: skip


@dataclass
class Count:
    """Of one reader: mutants, those refused in a line, those read right; the slowest in seconds."""

    files: int = 0
    refused: int = 0
    right: int = 0
    slowest: float = 0.0


class WrongError(AssertionError):
    """A mutant that was neither refused in a line nor read right."""


def attack(reader: Reader, folder: Path, *, cases: int, seed: int) -> Count:
    """Read `cases` mutants.

    Raises:
        WrongError: names the mutant's number and kind, and what happened.
    """
    path = folder / reader.name
    reader.make(path)
    content, count = path.read_bytes(), Count()
    reader.right(reader.read(path))  # the sound file is read
    each = -(-cases // len(reader.kinds))
    made = [kind(content, cases=each, seed=seed) for kind in reader.kinds]
    for number, mutant in enumerate(itertools.islice(_in_turn(made), cases)):
        path.write_bytes(mutant)
        begun = time.perf_counter()
        try:
            value = reader.read(path)
        except NcscopeError as error:
            count.refused += 1
            if len(str(error).splitlines()) != 1:
                raise WrongError(f"mutant {number} of seed {seed}: {str(error)!r}") from error
        except Exception as error:
            raise WrongError(f"mutant {number} of seed {seed}: {error!r}") from error
        else:
            try:
                reader.right(value)
            except Exception as error:
                raise WrongError(f"mutant {number} of seed {seed} was read: {error!r}") from error
            count.right += 1
        count.slowest = max(count.slowest, time.perf_counter() - begun)
        count.files += 1
    return count


def _in_turn(made: Iterable[Iterator[bytes]]) -> Iterator[bytes]:
    for some in itertools.zip_longest(*made):
        yield from (mutant for mutant in some if mutant is not None)


def seed_of(name: str, seed: int) -> int:
    """A reader's own seed, the same on every machine."""
    return int(hashlib.sha256(f"{name} {seed}".encode()).hexdigest()[:8], 16)


def main(cases: int = 300, seed: int = 0) -> None:
    """Print the table."""
    warnings.simplefilter("error")
    print(f"{'reader':26}{'files':>8}{'refused':>9}{'right':>8}{'wrong':>7}{'slowest':>10}")
    for name, reader in READERS.items():
        with tempfile.TemporaryDirectory() as folder:
            wrong, found = 0, Count()
            try:
                found = attack(reader, Path(folder), cases=cases, seed=seed_of(name, seed))
            except WrongError as error:
                wrong = 1
                print(f"  {name}: {error}"[:400])
        print(
            f"{name:26}{found.files:8}{found.refused:9}{found.right:8}{wrong:7}"
            f"{found.slowest:9.2f}s"
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

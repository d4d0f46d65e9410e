"""Every setting of a log that is marked `used` has an effect: on features, as a refusal, or aloud.

For each, a run of the method is read twice, with one value in its log and with another.
"""

import re
from pathlib import Path

import pytest
import torch

from ncscope.checkpoint.inspect import inspect
from ncscope.checkpoint.log_keys import Section
from ncscope.checkpoint.methods import ROWS, sections_of
from ncscope.clip.backbone import load_backbone
from ncscope.errors import NcscopeError
from ncscope.zoo.learners import REFUSED
from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests.checkpoint.test_log_sections import PRINTED
from tests.dassl_files import save_dassl
from tests.learner_states import coop
from tests.tiny_clip import save_folder
from tests.zoo.learners import case
from tests.zoo.learners.runs import RUNS
from tests.zoo.learners.test_promptkd import WIDE, teacher_state

LONGER = "one more photo of a red"  # than any context here
WORDS = ("a photo of a", LONGER)
# The value in the first log, None for no such line, and in the second
VALUES: dict[str, tuple[str | None, str]] = {
    "CTX_INIT": (None, LONGER), "TEXT_CTX_INIT": ("a photo of a", LONGER),
    "CLASS_TOKEN_POSITION": ("end", "front"),
    "TL": ("13", "12"), "VL": ("13", "12"), "TFW": ("0.75", "0.5"), "VFW": ("0.5", "0.25"),
    "RESIDUAL_SCALE": ("0.5", "0.7"), "ADAPTER_SCALE": ("0.5", "0.7"),
    "ALPHA": ("0.7", "0.3"), "BETA": ("0.9", "0.5"), "REP_LAYERS": ("[2, 3, 4]", "[1, 3, 4]"),
    "TASK": ("B2N", "CD"),
    "STACK.MODE": ("converse", "simple"), "STACK.WEIGHT": ("0.2", "0.4"),
    "STACK.WEIGHT_FOR_NEW": ("0.5", "0.9"),
    "ATT_NUM": ("3", "2"), "ATT1_TEXT": ("color", "shape"), "ATT2_TEXT": ("size", "habitat"),
    "ATT3_TEXT": ("growth", "design"),
    "WEIGHT": ("0.7", "0.2"), "TEST_TIME_FUSION": ("True", "False"),
    "LINEAR_PROBE": ("True", "False"),
    "TEACHER_NAME": ("ViT-B/16", "ViT-L/14"), "N_CTX_TEXT": ("4", "2"),
}  # fmt: skip
# Settings that a value needs beside it
BESIDE: dict[str, dict[str, str]] = {
    "SPLE": {"SPLE.STACK.MODE": "converse", "SPLE.STACK.WEIGHT": "0.2",
             "SPLE.STACK.WEIGHT_FOR_NEW": "0.5"},
    "TRAINER.ATPROMPT": {"TRAINER.ATPROMPT.ATT_NUM": "3", "TRAINER.ATPROMPT.ATT1_TEXT": "color",
                         "TRAINER.ATPROMPT.ATT2_TEXT": "size",
                         "TRAINER.ATPROMPT.ATT3_TEXT": "growth"},
    **{section: {"TRAINER.LINEAR_PROBE.WEIGHT": "0.7",
                 "TRAINER.LINEAR_PROBE.TEST_TIME_FUSION": "True"}
       for section in ("TRAINER.LINEAR_PROBE", "TRAINER.FILM")},
}  # fmt: skip


def with_setting(run: Path, dotted: str, value: str | None) -> None:
    """One line of the configuration in the run's log replaced, or added; None takes it away."""
    path = run / "log.txt"
    lines = path.read_text().splitlines() if path.exists() else log_lines()
    *parents, key = dotted.split(".")
    start = next(i for i, line in enumerate(lines) if "** Config **" in line) + 2
    stop = len(lines)
    for depth, name in enumerate(parents):
        heads = [i for i in range(start, stop) if lines[i] == f"{'  ' * depth}{name}:"][-1:]
        if not heads:
            lines.insert(start, f"{'  ' * depth}{name}:")
            heads, stop = [start], start + 1
        start = heads[0] + 1
        inside = "  " * (depth + 1)
        stop = next((i for i in range(start, stop) if not lines[i].startswith(inside)), stop)
    own = "  " * len(parents) + f"{key}:"
    kept = [line for line in lines[start:stop] if not (line.startswith(own))]
    lines[start:stop] = kept if value is None else [f"{own} {value}", *kept]
    path.write_text("\n".join(lines) + "\n")


def log_lines() -> list[str]:
    """Of a run whose authors' code writes no log.txt: there, one says what options say here."""
    return ["** Config **", "****", "DATASET:", "  NAME: OxfordPets", "TRAINER:", "  NAME: X"]


def dotted(section: Section, key: str) -> str:
    return ".".join(part for part in (section.inside, *section.names[:1], key) if part)


ALL = [
    (row.name, section, key, use)
    for row in ROWS
    for section in sections_of("DePT over CoOp" if row.name == "DePT" else row.name)
    for key, use in [*section.keys.items(), ("TWIST", None)]
    if row.name not in REFUSED and (use or section.whole)
]
USED = [
    (method, dotted(section, key))
    for method, section, key, use in ALL
    if use and use.kind == "used"
]


# Not features, but a warning: what the file itself holds is right, and the log is of another run
ALOUD = {
    "CTX_INIT": r"expected to write '(.*a red|a)'|CTX_INIT is '.*a red' in the student's log",
    "TEXT_CTX_INIT": r"expected to write '.*a red'|file's prompts are not '.*a red'",
    "ATT_NUM": r"should be color, size, by log",
    "ATT1_TEXT": r"should be shape, size, growth, by log",
    "ATT2_TEXT": r"should be color, habitat, growth, by log",
    "ATT3_TEXT": r"should be color, size, design, by log",
    "TEACHER_NAME": r"names the teacher's backbone ViT-L/14",
    "N_CTX_TEXT": r"N_CTX_TEXT is 2 in the student's log.txt; the teacher's context has 4",
}


@pytest.fixture(scope="module")
def beside(tmp_path_factory):
    """What two methods take from other runs: DPC's base prompt, and PromptKD's teacher."""
    root = tmp_path_factory.mktemp("beside")
    large = load_backbone(save_folder(root / "large", config=WIDE))
    log = {"trainer": "PromptSRC", "section": "PROMPTSRC", "settings": {"CTX_INIT": "a photo of a"}}
    teacher = case.save(root / "teacher", teacher_state(), **log)
    base = save_dassl(root / "base" / "model.pth.tar-50", coop(case.SIZES, 1))
    return {"DPC": {"base": base}, "PromptKD": {"teacher": teacher, "teacher_backbone": large}}


def effect(run: Path, clip, options: LearnerOptions) -> tuple[str, list[torch.Tensor], set[str]]:
    """A refusal, or features and what the method's own rule makes of them; and the warnings."""
    try:
        learner = load_learner(run, backbone=clip, options=options)
    except NcscopeError as error:
        return str(error), [], set()
    rows, images = [], learner.image_features(case.pixels())
    for names in (case.NAMES, case.NEW):
        try:
            rows.append(learner.text_features(names))
        except NcscopeError:
            if names == case.NAMES and learner.has_text:
                raise
    if learner.by_rule is not None:
        generator = torch.Generator().manual_seed(0)
        many = images[:1] + images.std() * torch.randn(500, images.shape[1], generator=generator)
        found = learner.by_rule(case.NAMES, many, rows[0], torch.arange(500) % len(rows[0]))
        rows.append(torch.tensor([found["accuracy"] if found else -1.0]))
    return "", [*rows, images], set(learner.description["warnings"])


@pytest.mark.parametrize(("method", "name"), USED)
def test_another_value_of_a_used_setting_has_an_effect(
    method, name, tmp_path, backbone, deep_backbone, beside
):
    key = name.removeprefix("TRAINER.").partition(".")[2] or name
    found, clip = [], deep_backbone if "TCP" in method else backbone
    options = LearnerOptions(classnames=case.NAMES, **beside.get(method, {}))
    section = name.removesuffix(f".{key}")
    for value in VALUES[key]:
        run = RUNS[method](tmp_path / str(len(found)))
        for other, said in BESIDE.get(section, {}).items():
            with_setting(run, other, said)
        with_setting(run, name, value)
        found.append(effect(run, clip, options))
    (refused, before, known), (refusal, after, said) = found
    assert not refused
    if key in ALOUD:
        assert any(re.search(ALOUD[key], text) for text in said - known), said - known
    else:
        moved = [case.relative(a, b) for a, b in zip(after, before, strict=True)]
        assert refusal or max(moved) > 1e-4


def test_no_setting_is_listed_that_no_method_has():
    names = [name for _, name in USED]
    keys = {name.removeprefix("TRAINER.").partition(".")[2] or name for name in names}
    assert keys == VALUES.keys()
    assert ALOUD.keys() <= keys


@pytest.mark.parametrize("method", dict.fromkeys(method for method, *_ in ALL))
def test_a_setting_that_is_not_known_or_not_the_files_is_contradicted_aloud(method, tmp_path):
    run = RUNS[method](tmp_path)
    kinds = {"checked": "97", "only": "Other", "": "0.3"}
    wanted = {
        dotted(section, key): (kinds[use.kind if use else ""], use.fact if use else "")
        for own, section, key, use in ALL
        if own == method and (use is None or use.kind in kinds)
    }
    for name, (value, fact) in wanted.items():
        with_setting(run, name, "True" if fact == "class_specific" else value)
    said = inspect(run).warnings
    for name, (value, fact) in wanted.items():
        line = f"{fact.replace('_', ' ')}: " if fact else f"{name} is {value} in log.txt: "
        assert any(text.startswith(line) for text in said), (line, said)


FOREIGN = {
    "N_CTX": 99, "N_CTX_TEXT": 99, "CSC": True, "CTX_INIT": LONGER, "TEXT_CTX_INIT": LONGER,
    "CLASS_TOKEN_POSITION": "front", "ALPHA": 0.1, "BETA": 0.1, "REP_LAYERS": "[1, 2, 3]",
    "ADAPTER_SCALE": 9.0, "RESIDUAL_SCALE": 9.0, "WEIGHT": 0.1, "TL": 12, "VFW": 0.1,
}  # fmt: skip


@pytest.mark.parametrize("method", dict.fromkeys(method for method, *_ in ALL))
def test_sections_of_other_trainers_in_the_same_log_have_no_effect(
    method, tmp_path, backbone, deep_backbone, beside
):
    clip = deep_backbone if "TCP" in method else backbone
    options = LearnerOptions(classnames=case.NAMES, **beside.get(method, {}))
    run = RUNS[method](tmp_path)
    for name, value in BESIDE["SPLE"].items():
        with_setting(run, name, value)
    plain = effect(run, clip, options)
    names = {name for own, section, *_ in ALL if own == method for name in section.names}
    block = "".join(f"    {key}: {value}\n" for key, value in FOREIGN.items())
    others = "".join(f"  {one}:\n{block}" for one in PRINTED if one not in names)
    text = (run / "log.txt").read_text()
    assert "\nTRAINER:\n" in text
    (run / "log.txt").write_text(text.replace("\nTRAINER:\n", f"\nTRAINER:\n{others}"))
    found = effect(run, clip, options)
    assert found[::2] == plain[::2]
    assert all(torch.equal(a, b) for a, b in zip(found[1], plain[1], strict=True))

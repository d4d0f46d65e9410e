import random
import time

import pytest

from ncscope.checkpoint.runlog import Evaluation, RunLog, read_runlog
from tests.dassl_files import log_text

NAMES = ("banded", "grid", "yorkshire terrier", "painter's easel")


def write(tmp_path, text, name="log.txt", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding, errors="replace"))
    return path


def read(tmp_path, text, **options) -> RunLog:
    log = read_runlog([write(tmp_path, text, **options)])
    assert log is not None
    return log


def test_everything_a_training_log_says_is_read(tmp_path):
    log = read(tmp_path, log_text(names=NAMES))
    assert (log.trainer, log.backbone, log.dataset) == ("CoOp", "ViT-B/16", "OxfordPets")
    assert (log.subsample, log.shots, log.seed, log.precision) == ("base", 16, 1, "fp16")
    assert (log.context_length, log.context_words, log.class_specific) == (4, None, False)
    assert (log.class_token_position, log.transform) == ("end", "current")
    assert (log.max_epoch, log.epochs_logged, log.num_classes) == (50, 50, 19)
    assert (log.accuracy, log.macro_f1) == (95.12, 94.98)
    assert log.evaluations == (Evaluation("test", 95.12, 94.98, 1881, 1789),)
    assert log.settings["INPUT.SIZE"] == "(224, 224)"
    assert log.settings["TRAINER.CDAC.P_THRESH"] == "0.95"
    assert log.notes == ()


@pytest.mark.parametrize(
    ("trainer", "section"),
    [
        ("CoOp", "COOP"),
        ("CoCoOp", "COCOOP"),
        ("KgCoOp", "COOP"),
        ("ProGrad", "COOP"),
        ("MaPLe", "MAPLE"),
        ("MaPLe_ATP", "MAPLE"),
        ("PromptSRC", "PROMPTSRC"),
        ("CoOp_dyntoken_1anchor_template", "COOP"),
        ("ExtrasLinearProbeIVLP", "IVLP"),
    ],
)
def test_settings_come_from_the_section_of_the_trainer(tmp_path, trainer, section):
    text = log_text(trainer=trainer, section=section, settings={"N_CTX": 7})
    assert read(tmp_path, text).context_length == 7


@pytest.mark.parametrize("section", ["PROMPTSRC", "IVLP"])
def test_depths_and_lengths_of_two_sided_learners_are_kept_apart(tmp_path, section):
    sides = {"N_CTX_TEXT": 4, "N_CTX_VISION": 3, "PROMPT_DEPTH_TEXT": 9, "PROMPT_DEPTH_VISION": 8}
    text = log_text(trainer=section, section=section, settings={**sides, "N_CTX": ""})
    log = read(tmp_path, text)
    assert (log.context_length, log.vision_context_length) == (4, 3)
    assert (log.text_depth, log.vision_depth) == (9, 8)


@pytest.mark.parametrize(
    ("printed", "words"),
    [("a photo of a", "a photo of a"), ("True", "a photo of a"), ("False", None), ("", None)],
)
def test_initial_words_are_read_however_they_are_switched_on(tmp_path, printed, words):
    assert read(tmp_path, log_text(settings={"CTX_INIT": printed})).context_words == words


def test_the_squashing_transform_of_old_releases_is_told_apart(tmp_path):
    assert read(tmp_path, log_text(squash=True)).transform == "squash"
    assert read(tmp_path, log_text().replace("+ 224x224 center crop\n", "")).transform is None


def test_accuracy_is_the_last_on_the_test_split(tmp_path):
    text = log_text(accuracy=90.0)
    text += "Evaluate on the *test* set\n=> result\n* accuracy: 91.25%\n* macro_f1: 91.0%\n"
    text += "Evaluate on the *val* set\n=> result\n* accuracy: 99.00%\n"
    log = read(tmp_path, text)
    assert (log.accuracy, log.macro_f1) == (91.25, 91.0)
    assert [e.split for e in log.evaluations] == ["test", "test", "val"]


def test_a_log_without_its_end_still_gives_its_settings(tmp_path):
    text = log_text()
    log = read(tmp_path, text[: text.index("=> result") + 25])
    assert (log.backbone, log.accuracy) == ("ViT-B/16", None)
    assert "no finished evaluation" in log.notes[0]


def test_of_several_runs_the_last_that_trained_is_read(tmp_path):
    evaluation = log_text(subsample="new", accuracy=60.0).replace(
        "eval_only: False", "eval_only: True"
    )
    text = log_text(seed=1, accuracy=80.0) + log_text(seed=2, accuracy=81.0) + evaluation
    log = read(tmp_path, text)
    assert (log.seed, log.accuracy, log.subsample) == (2, 81.0, "base")
    assert log.notes == ("log.txt holds 3 runs; read number 2",)
    assert read(tmp_path, evaluation).accuracy == 60.0


def test_later_logs_of_one_folder_are_read_in_their_order(tmp_path):
    first = write(tmp_path, log_text(accuracy=None))
    second = write(tmp_path, log_text(accuracy=88.0), name="log.txt-2023-01-02-03-04-05")
    log = read_runlog([first, second])
    assert log is not None
    assert log.accuracy == 88.0


def test_class_names_come_from_the_prompts_or_the_results_by_class(tmp_path):
    text = log_text(names=NAMES).replace("Number of context", 'Initial context: "X X X X"\nNumber')
    assert read(tmp_path, text).class_names == NAMES
    assert read(tmp_path, log_text(names=NAMES)).class_names is None  # their opening is unknown
    lines = "".join(
        f"* class: {i} ({name})\ttotal: 1,5\tcorrect: 1\tacc: 50.0%\n"
        for i, name in enumerate(NAMES)
    )
    assert read(tmp_path, log_text() + "=> per-class result\n" + lines).class_names == NAMES


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252", "latin-1"])
def test_encodings_and_line_ends_do_not_matter(tmp_path, encoding):
    text = log_text().replace("/data", "/donn\u00e9es").replace("\n", "\r\n")
    log = read(tmp_path, text, encoding=encoding)
    assert (log.backbone, log.accuracy, log.transform) == ("ViT-B/16", 95.12, "current")


def test_values_cannot_carry_terminal_codes(tmp_path):
    log = read(tmp_path, log_text(dataset="Pets\x1b[2J" + "x" * 5000))
    assert log.dataset is not None
    assert log.dataset.isprintable()
    assert len(log.dataset) <= 300


def test_no_log_and_empty_logs_are_none(tmp_path):
    assert read_runlog([]) is None
    assert read_runlog([write(tmp_path, "")]) is None
    assert read_runlog([write(tmp_path, "hello\nworld\n")]) is None
    assert read_runlog([tmp_path / "absent"]) is None


def test_no_damage_raises(tmp_path):
    content = log_text(names=NAMES).encode()
    generator = random.Random(0)
    path = tmp_path / "log.txt"
    for _ in range(200):
        copy = bytearray(content[: generator.randrange(1, len(content))])
        for _ in range(20):
            copy[generator.randrange(len(copy))] = generator.randrange(256)
        path.write_bytes(copy)
        read_runlog([path])


@pytest.mark.parametrize(
    "line",
    [
        "* class: 0 (",
        "epoch [1/",
        "* accuracy: 9",
        "['a', ",
        "Evaluate on the *",
        "A: ",
        "    ",
        "'",
    ],
)
def test_long_lines_take_linear_time(tmp_path, line):
    begin = time.perf_counter()
    text = log_text() + 'Initial context: "X"\n' + "['" + line * 200_000
    read(tmp_path, text)
    read_runlog([write(tmp_path, "** Config **\n" + line * 200_000)])
    assert time.perf_counter() - begin < 20

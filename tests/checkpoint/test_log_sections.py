"""A log's settings come from the sections of its trainer, and none of them is passed over."""

import pytest

from ncscope.checkpoint.inspect import inspect
from ncscope.checkpoint.log_keys import Use
from ncscope.checkpoint.log_sections import first_value, own_entries
from ncscope.checkpoint.methods import ROWS, row_of, sections_of
from ncscope.checkpoint.runlog import read_runlog
from ncscope.checkpoint.trainers import method_of
from tests.dassl_files import log_text, save_dassl, save_run
from tests.learner_states import Sizes, cocoop, coop, dept, ivlp, kgcoop, maple, taskres

SMALL = Sizes(classes=19, layers=2, depth=2)
# The authors' trainers: what each is, and the section in which its context length or scale stands
TRAINERS = {
    "CoOp": ("CoOp", "COOP.N_CTX"),
    "CoOpCRT": ("CoOp", "CoOpCRT.N_CTX"),
    "CoCoOp": ("CoCoOp", "COCOOP.N_CTX"),
    "KgCoOp": ("KgCoOp", "COOP.N_CTX"),
    "ProGrad": ("ProGrad", "COOP.N_CTX"),
    "DeKg": ("DeKg", "COOP.N_CTX"),
    "DeKg_TCP": ("DeKg_TCP", "COOP.N_CTX"),
    "TCP": ("TCP", "COOP.N_CTX"),
    "BIP": ("BIP", "COOP.N_CTX"),
    "CoOpNemesis": ("Nemesis", "CoOpNemesis.N_CTX"),
    "PLOT": ("PLOT", "PLOT.N_CTX"),
    "PLOTNemesis": ("PLOTNemesis", "PLOTNemesis.N_CTX"),
    "PLOTPP": ("PLOT++", "PLOTPP.N"),
    "MaPLe": ("MaPLe", "MAPLE.N_CTX"),
    "IVLP": ("IVLP", "IVLP.N_CTX_TEXT"),
    "VPT": ("VPT", "VPT.N_CTX_VISION"),
    "PromptSRC": ("PromptSRC", "PROMPTSRC.N_CTX_TEXT"),
    "ProMetaR": ("ProMetaR", "PROMETAR.N_CTX_TEXT"),
    "CoPrompt": ("CoPrompt", "CoPrompt.N_CTX"),
    "TAC": ("TAC", "TAC.N_CTX_TEXT"),
    "SurPL": ("SurPL", "IVLP.N_CTX_TEXT"),
    "HiCroPL": ("HiCroPL", "HICROPL.N_CTX"),
    "PromptKD": ("PromptKD", "PROMPTKD.N_CTX_VISION"),
    "CoOp_ATP": ("CoOp_ATP", "COOP.N_CTX"),
    "CoCoOp_ATP": ("CoCoOp_ATP", "COCOOP.N_CTX"),
    "MaPLe_ATP": ("MaPLe_ATP", "MAPLE.N_CTX"),
    "CoOp_AnchorOPT": ("AnchorOPT", "ANCHOROPT.N_CTX"),
    "CoCoOp_AnchorOPT": ("CoCoOp_AnchorOPT", "ANCHOROPT.N_CTX"),
    "MaPLe_AnchorOPT": ("MaPLe_AnchorOPT", "ANCHOROPT.N_CTX"),
    "ExtrasLinearProbeCoOp": ("DePT over CoOp", "COOP.N_CTX"),
    "ExtrasLinearProbeCoCoOp": ("DePT over CoCoOp", "COCOOP.N_CTX"),
    "ExtrasLinearProbeKgCoOp": ("DePT over KgCoOp", "COOP.N_CTX"),
    "ExtrasLinearProbeMaPLe": ("DePT over MaPLe", "MAPLE.N_CTX"),
    "ExtrasLinearProbeCoOpStats": ("DePT over CoOp", "COOP.N_CTX"),
    "DePT": ("DePT over CoOp", "COOP.N_CTX"),
    "DePT_ATP": ("DePT over CoOp_ATP", "COOP.N_CTX"),
    "DePT_AnchorOPT": ("DePT over AnchorOPT", "ANCHOROPT.N_CTX"),
    "StackSPLE_CoOp": ("DPC", "COOP.N_CTX"),
    "StackSPLE_PromptKD": ("DPC-PromptKD", "PROMPTKD.N_CTX_VISION"),
    "TextRefiner": ("TextRefiner", "COOP.N_CTX"),
    "TaskRes": ("TaskRes", "TaskRes.RESIDUAL_SCALE"),
    "MultiModalAdapter": ("MMA", "MMADAPTER.ADAPTER_SCALE"),
    "LwEIB": ("LwEIB", "LWEIB.ADAPTER_SCALE"),
    "MMRL": ("MMRL", "MMRL.ALPHA"),
    "MMRLpp": ("MMRL++", "MMRLpp.ALPHA"),
    "SkipTuning": ("SkipTuning", "SKIP.START_LAYER"),
    "FinetuneCLIP": ("FinetuneCLIP", "FINETUNE.START_LAYER"),
}
# Every section that one of the authors' train.py prints, whatever the run
PRINTED = (
    "ANCHOROPT", "ATPROMPT", "COCOOP", "COOP", "CoOpCRT", "CoOpNemesis", "CoPrompt", "FILM",
    "FINETUNE", "HICROPL", "IVLP", "LINEAR_PROBE", "LWEIB", "MAPLE", "MMADAPTER", "MMRL", "MMRLpp",
    "MY_MODEL", "PLOT", "PLOTNemesis", "PLOTPP", "PROMETAR", "PROMPTKD", "PROMPTSRC", "SKIP", "TAC",
    "TF", "TaskRes", "VPT",
)  # fmt: skip


def settings_of(trainer: str, own: str) -> dict[str, str]:
    """A log of a repository with all sections: 99 everywhere but at the run's own setting."""
    names = ("N_CTX", "N_CTX_TEXT", "N_CTX_VISION", "ALPHA", "ADAPTER_SCALE", "RESIDUAL_SCALE")
    found = {f"TRAINER.{one}.{name}": "99" for one in PRINTED for name in (*names, "START_LAYER")}
    return {**found, "TRAINER.PLOTPP.N": "99", f"TRAINER.{own}": "7", "TRAINER.NAME": trainer}


@pytest.mark.parametrize("trainer", TRAINERS)
def test_a_trainers_settings_are_read_from_its_own_section(trainer):
    method, own = TRAINERS[trainer]
    assert method_of(trainer) == method
    entries = own_entries(settings_of(trainer, own), trainer)
    assert first_value(entries, own.split(".")[1]) == "7"


def test_every_method_with_a_trainer_is_reached_by_one_of_its_authors_names():
    reached = {method.removeprefix("DePT over ") for method, _ in TRAINERS.values()}
    without_sections = {
        "CLIP-Adapter",
        "CLIP-LoRA",
        "Candle",
        "GalLoP",
        "LIFT",
        "TAP",
        "DPC-PromptSRC",
    }
    named = {row.name for row in ROWS if row.trainers != r"(?!)"}
    assert named - reached == without_sections


@pytest.mark.parametrize("row", [row for row in ROWS if row.sections], ids=lambda row: row.name)
def test_every_key_of_a_row_has_one_of_the_five_uses(row):
    uses = {use.kind for section in row.sections for use in section.keys.values()}
    assert uses <= {"used", "checked", "only", "irrelevant", "dead"}
    assert all(isinstance(use, Use) for part in row.sections for use in part.keys.values())


WHOLE = [
    (trainer, section.names[0] if section.names[0] != "PROGRAD" else "COOP", section.inside)
    for trainer, (method, _) in TRAINERS.items()
    for section in sections_of(method)
    if section.whole
]


@pytest.mark.parametrize(("trainer", "name", "inside"), WHOLE)
def test_a_key_that_a_section_of_the_run_should_not_have_is_an_entry_without_a_use(
    trainer, name, inside
):
    own = f"{inside}.{name}".lstrip(".")
    settings = {f"{own}.N_CTX": "4", f"{own}.TWIST": "0.3", "TRAINER.CDAC.TWIST": "1"}
    strangers = [e.name for e in own_entries(settings, trainer) if e.use is None]
    assert f"{own}.TWIST" in strangers
    assert "TRAINER.CDAC.TWIST" not in strangers


def warnings(tmp_path, state, **log):
    save_run(tmp_path / "run", state, log=log_text(**log))
    return inspect(tmp_path / "run").warnings


def test_an_unlisted_setting_of_the_run_is_warned_of_by_name(tmp_path):
    [warning] = warnings(tmp_path, coop(SMALL), settings={"TWIST": 0.3})
    assert warning.startswith("TRAINER.COOP.TWIST is 0.3 in log.txt: the method is not known to")


def test_settings_of_other_trainers_are_no_warning(tmp_path):
    text = log_text().replace("  CDAC:", "  MAPLE:\n    TWIST: 1\n    PROMPT_DEPTH: 12\n  CDAC:")
    save_run(tmp_path, coop(SMALL), log=text)
    assert inspect(tmp_path).warnings == ()


@pytest.mark.parametrize(
    ("state", "log", "said"),
    [
        (
            maple(Sizes(classes=19, layers=4, depth=3)),
            {"trainer": "MaPLe", "section": "MAPLE", "settings": {"PROMPT_DEPTH": 9}},
            "text depth: 9 in log.txt, 3 in the file",
        ),
        (
            ivlp(Sizes(classes=19, layers=4, depth=3)),
            {
                "trainer": "IVLP",
                "section": "IVLP",
                "settings": {"N_CTX_VISION": 8, "N_CTX_TEXT": 4},
            },
            "vision context length: 8 in log.txt, 4 in the file",
        ),
        (coop(SMALL), {"settings": {"CSC": True}}, "class specific: True in log.txt, False in"),
        (
            dept(Sizes(classes=19)),
            {
                "trainer": "ExtrasLinearProbeCoOp",
                "section": "LINEAR_PROBE",
                "settings": {"TYPE": "similarity"},
            },
            "TRAINER.LINEAR_PROBE.TYPE is similarity in log.txt: only linear is read",
        ),
    ],
)
def test_a_setting_that_the_file_contradicts_is_said(tmp_path, state, log, said):
    assert any(text.startswith(said) for text in warnings(tmp_path, state, **log))


@pytest.mark.parametrize("position", ["front", "middle"])
def test_the_class_token_position_of_dept_is_read(tmp_path, position):
    text = log_text(
        trainer="ExtrasLinearProbeCoOp",
        settings={"CLASS_TOKEN_POSITION": position, "N_CTX": 16},
    ).replace("  CDAC:", "  FILM:\n    LINEAR_PROBE: True\n  LINEAR_PROBE:\n    TYPE: linear\n"
              "    WEIGHT: 0.7\n    TEST_TIME_FUSION: True\n  CDAC:")  # fmt: skip
    (tmp_path / "log.txt").write_text(text)
    log = read_runlog([tmp_path / "log.txt"])
    assert log is not None
    assert (log.class_token_position, log.precision, log.context_length) == (position, "fp16", 16)


@pytest.mark.parametrize(
    ("trainer", "section", "words", "logged", "length"),
    [
        ("CoOp", "COOP", "a photo of a", 16, 4),
        ("CoCoOp", "COCOOP", "this is a photo", 16, 4),
        ("KgCoOp", "COOP", "True", 16, 4),
        ("BIP", "COOP", "True", 16, 5),
        ("ProGrad", "COOP", "True", 16, 16),
        ("MaPLe", "MAPLE", "a photo of a", 2, 2),
        ("PromptSRC", "PROMPTSRC", "a photo of a", 8, 8),
    ],
)
def test_initial_words_set_the_length_where_the_method_lets_them(
    tmp_path, trainer, section, words, logged, length
):
    length_key = "N_CTX_TEXT" if section == "PROMPTSRC" else "N_CTX"
    text = log_text(
        trainer=trainer, section=section, settings={"CTX_INIT": words, length_key: logged}
    )
    (tmp_path / "log.txt").write_text(text)
    log = read_runlog([tmp_path / "log.txt"])
    assert log is not None
    assert log.context_length == length


def test_a_length_that_the_initial_words_overrule_is_no_warning(tmp_path):
    settings = {"CTX_INIT": "a photo of a", "N_CTX": 16}
    assert warnings(tmp_path, coop(SMALL), settings=settings) == ()


@pytest.mark.parametrize(
    ("state", "log"),
    [
        (coop(SMALL), {}),
        (kgcoop(SMALL), {"trainer": "KgCoOp", "settings": {"CTX_INIT": True, "W": 8.0}}),
        (
            taskres(SMALL),
            {"trainer": "TaskRes", "section": "TaskRes", "settings": {"RESIDUAL_SCALE": 0.5}},
        ),
        (
            maple(SMALL),
            {"trainer": "MaPLe", "section": "MAPLE", "settings": {"PROMPT_DEPTH": 2}},
        ),
    ],
)
def test_a_correct_file_with_its_log_has_no_warning(tmp_path, state, log):
    assert warnings(tmp_path, state, **log) == ()


def test_an_unknown_trainer_is_warned_of_and_its_longest_section_read(tmp_path):
    [warning] = warnings(tmp_path, coop(SMALL), trainer="CoOpTwist", settings={"N_CTX": 4})
    assert "names the trainer CoOpTwist, which is not known; the file is read as CoOp's" in warning


SIBLINGS = [
    ("Tip-Adapter", "Tip-Adapter-F"),
    ("MMRL", "MMRL++"),
    ("TCP", "DeKg_TCP"),
    ("CoCoOp", "CoCoOp_ATP"),
    ("PLOT", "PLOTNemesis"),
    ("SkipTuning", "FinetuneCLIP"),
]


@pytest.mark.parametrize(("one", "other"), SIBLINGS)
def test_siblings_have_the_same_needs_and_cautions(one, other):
    first, second = row_of(one), row_of(other)
    assert first is not None
    assert second is not None
    assert (first.needs, first.caution) == (second.needs, second.caution)
    assert bool(first.not_by_cosine) == bool(second.not_by_cosine)


def test_both_tip_adapters_say_that_the_numbers_are_zero_shot_clips(tmp_path):
    for name in ("best_F_16shots.pt", "keys_16shots.pt"):
        save_dassl(tmp_path / name, {"tensor": cocoop(SMALL)["ctx"]})
        found = inspect(tmp_path / name)
        assert any("these are zero-shot CLIP's features" in text for text in found.warnings)
        assert "data set" in {need.what for need in found.needs}

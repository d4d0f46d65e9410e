from ncscope.zoo.load import load_learner
from ncscope.zoo.settings import LearnerOptions
from tests import learner_states
from tests.dassl_files import save_dassl
from tests.zoo.learners import case

RUN = {"trainer": "StackSPLE_CoOp", "section": "COOP"}


def dpc(tmp_path, *, logged=True):
    state = case.prompted(learner_states.coop(case.SIZES), "X X X X")
    run = case.save(tmp_path / "run", state, **RUN)
    if logged:
        log = run / "log.txt"
        text = log.read_text()
        stack = "SPLE:\n  STACK:\n    WEIGHT: 0.2\n    WEIGHT_FOR_NEW: 0.5\n"
        log.write_text(text.replace("TEST:\n", stack + "TEST:\n"))
    return run, state["ctx"].float()


def test_new_classes_have_a_mixture_of_their_own(tmp_path, backbone):
    run, mixed = dpc(tmp_path)
    plain = learner_states.coop(case.SIZES, 1)
    base = save_dassl(tmp_path / "base" / "model.pth.tar-50", plain)
    learner = load_learner(run, backbone=backbone, options=LearnerOptions(base=base))
    assert learner.description["method"] == "DPC"
    other = (mixed - 0.8 * plain["ctx"].float()) / 0.2
    new = 0.5 * other + 0.5 * plain["ctx"].float()
    case.matches(learner, case.reference_text(mixed, "X X X X"), case.reference_image())
    wanted = case.reference_text(new.half(), "X X X X", case.NEW)
    case.matches(learner, wanted, case.reference_image(), names=case.NEW)


def test_without_the_base_prompt_it_is_read_as_coop_with_a_warning(tmp_path, backbone):
    run, mixed = dpc(tmp_path, logged=False)
    learner = load_learner(run, backbone=backbone)
    wanted = case.reference_text(mixed, "X X X X", case.NEW)
    case.matches(learner, wanted, case.reference_image(), names=case.NEW)
    assert any("mixture for the training classes" in w for w in learner.description["warnings"])

from ncscope.zoo.fingerprint_table import TABLE
from ncscope.zoo.learners import LEARNERS, REFUSED
from ncscope.zoo.learners.table import METHODS
from ncscope.zoo.method_notes import NOT_LEARNERS
from ncscope.zoo.trainers import plain_method


def test_the_table_has_a_row_for_every_learner_and_no_other():
    assert [method.name for method in METHODS] == list(dict.fromkeys(m.name for m in METHODS))
    assert {method.name for method in METHODS} == LEARNERS.keys()


def test_every_method_that_is_told_apart_is_loaded_or_refused_with_a_reason():
    told = {plain_method(name) for row in TABLE for name in row.methods}
    assert told <= LEARNERS.keys() | REFUSED.keys() | NOT_LEARNERS.keys()
    assert all(REFUSED.values())

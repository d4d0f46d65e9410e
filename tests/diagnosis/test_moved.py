"""What tuning did: drift of both sides, and robustness with its paired interval."""

# pyright: reportOptionalSubscript=false, reportOptionalOperand=false
# pyright: reportOptionalMemberAccess=false

from dataclasses import replace

import numpy as np
import pytest
import torch

from ncscope.diagnosis.against import with_reference
from ncscope.diagnosis.measure import measure
from ncscope.diagnosis.moved import ROWS, moved
from ncscope.page.tuned import tuned_rows, tuned_table
from tests.made_features import noisy

BEFORE = replace(noisy(5), provenance={"source": "zero-shot"})


def compared(after, before=BEFORE):
    runs = [measure(one, bootstrap=0) for one in (before, after)]
    return with_reference(runs, ["zero-shot", "coop"], measure)[1].record["against"]["moved"]


def turned(rows, degrees):
    """Every vector turned by the same angle in each of eight planes."""
    angle = torch.tensor(degrees).deg2rad()
    block = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    return rows @ torch.block_diag(*[block] * (rows.shape[1] // 2))


def test_images_that_were_turned_by_an_angle_drifted_by_it_and_text_did_not():
    found = compared(replace(BEFORE, image=turned(BEFORE.image, 25.0)))["drift"]
    for name in ("angle", "angle_max", "centre"):
        assert found[f"drift/image/{name}"] == pytest.approx(25, abs=1e-3)
        assert found[f"drift/text/{name}"] == pytest.approx(0, abs=1e-3)
    assert found["drift/image/spread"] == pytest.approx(1)
    assert found["drift/text/outside"] is None  # nothing moved
    assert found["hierarchy"] == pytest.approx(1)


def test_images_of_other_labels_have_no_drift_of_images():
    fewer = replace(BEFORE, image=BEFORE.image[:-1], label=BEFORE.label[:-1])
    found = compared(fewer)
    assert not [name for name in found["drift"] if name.startswith("drift/image")]
    assert "robustness" not in found


def test_robustness_is_the_mean_over_classes_of_a_loop_over_images():
    after = replace(
        BEFORE, text=BEFORE.text + 2 * torch.randn(5, 16, generator=torch.manual_seed(1))
    )
    found = compared(after)

    def unit(rows):
        rows = rows.double().numpy()
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    label = BEFORE.label.numpy()
    values = []
    for features in (BEFORE, after):
        image, text = unit(features.image), unit(features.text)
        least = [
            min(
                f @ (text[y] - text[j]) / np.linalg.norm(text[y] - text[j])
                for j in range(5)
                if j != y
            )
            for f, y in zip(image, label, strict=True)
        ]
        values.append(np.mean([np.mean(np.array(least)[label == k]) for k in range(5)]))
    change = found["robustness"]
    assert found["before"]["robustness/boundary"] == pytest.approx(values[0], abs=1e-5)
    assert change["difference"] == pytest.approx(values[1] - values[0], abs=1e-5)
    low, high = change["images"]
    assert low < change["difference"] < high


def test_the_table_has_a_row_a_number_and_its_csv_the_full_values():
    runs = [measure(one, bootstrap=0) for one in (BEFORE, replace(BEFORE, text=BEFORE.text + 1))]
    runs = with_reference(runs, ["zero-shot", "coop"], measure)
    records = [run.record for run in runs]
    source = tuned_table(records, ["zero-shot", "coop"])
    assert source.count("<tr>") == 1 + len([k for k in ROWS if k != "drift/image/outside"])
    rows = tuned_rows(records, ["zero-shot", "coop"])
    told = {row[1]: row[2] for row in rows[1:]}
    assert told["drift/text/angle"] == records[1]["against"]["moved"]["drift"]["drift/text/angle"]
    assert tuned_table(records[:1], ["zero-shot"]) == ""


def test_sides_that_are_missing_leave_their_numbers_out():
    alone = replace(BEFORE, image=None, label=None)
    one = measure(alone, bootstrap=0)
    found = moved(one, one, same_images=False)
    assert found["before"] == {"conformity/text": one.record["measures"]["conformity/text"]}
    assert set(found["drift"]) >= {"drift/text/angle", "hierarchy"}

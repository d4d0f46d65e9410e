import json

import pytest

from ncscope.comparison.read import find_files, read_outcomes
from ncscope.diagnosis.outcome import data_identity, is_domain_of, short_names, without_seed
from ncscope.errors import DataError
from tests.run_files import TUNE, analysed, run, tuned, write


def test_a_tuned_run_is_one_outcome_for_each_data_set_it_was_tested_on(tmp_path):
    measures = {"base": {"nc1/default": 2.0, "cdnv": None}}
    path = tuned(tmp_path, "maple+npt", "eurosat:/data", base=0.9, new=0.6, seed=0, tau=0.05,
                 others={"toy:fish": 0.3}, measures=measures, lcd_weight=0.5)  # fmt: skip
    own, other = read_outcomes([path])
    assert (own.name, own.trained_on, own.data) == ("maple+npt", "eurosat", "eurosat")
    assert (own.seed, own.tau, own.realised_tau) == (0, 0.05, 0.0625)
    assert own.accuracy == {"base": 0.9, "new": 0.6}
    assert own.measures["base"] == {"nc1/default": 2.0}
    assert own.settings["lcd_weight"] == 0.5
    assert (other.trained_on, other.data, other.accuracy) == ("eurosat", "toy:fish", {"all": 0.3})
    assert own.own_data
    assert not other.own_data


def test_accuracies_that_only_tune_states_are_taken(tmp_path):
    tune = {**TUNE, "name": "coop", "data": "toy:fish", "accuracy": {"base": 0.7, "new": 0.5}}
    path = write(tmp_path, {"format": 1, "runs": [run("toy:fish", "base", None)], "tune": tune})
    assert read_outcomes([path])[0].accuracy == {"base": 0.7, "new": 0.5}


def test_the_state_before_tuning_is_a_row_only_if_asked_for(tmp_path):
    path = tuned(tmp_path, "coop", "toy:fish", base=0.9, new=0.6, before=(0.5, 0.4))
    assert [o.name for o in read_outcomes([path])] == ["coop"]
    after, before = read_outcomes([path], before=True)
    assert (before.name, before.accuracy) == ("coop before", {"base": 0.5, "new": 0.4})
    assert after.accuracy == {"base": 0.9, "new": 0.6}


def test_an_analysis_is_an_untrained_outcome_with_the_seed_of_its_folder(tmp_path):
    path = analysed(tmp_path, "out/coop/seed2", "pets:/d", base=0.9, new=0.6)
    (outcome,) = read_outcomes([path])
    assert (outcome.name, outcome.seed, outcome.trained_on) == ("out/coop", 2, None)
    assert outcome.accuracy == {"base": 0.9, "new": 0.6}


def test_folders_are_searched_at_any_depth_and_no_file_is_read_twice(tmp_path):
    deep = tuned(tmp_path / "a" / "b" / "c", "coop", "toy:fish", base=0.9, new=0.6)
    assert find_files([tmp_path, tmp_path / "a", deep]) == [deep]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 2}, r"expected format 1 with a list `runs`, found format 2"),
        ({"runs": 3}, r"a list `runs`"),
        ({"runs": ["x"]}, r"runs\[0\] must be an object; found 'x'"),
        ({"tune": []}, r"tune must be an object"),
        ({"tune": {**TUNE, "data": "toy:x"}}, r"tune\.name must be a text; found None"),
        ({"tune": {**TUNE, "name": "a", "data": 4}}, r"tune\.data must be a text; found 4"),
        ({"tune": {**TUNE, "name": "a", "data": "d", "seed": "one"}}, r"tune\.seed must be"),
        ({"tune": {**TUNE, "name": "a", "data": "d", "tau": "x"}}, r"tune\.tau must be a number"),
        ({"tune": {**TUNE, "name": "a", "data": "d", "lcd_weight": "x"}}, r"tune\.lcd_weight must"),
        ({"tune": {**TUNE, "name": "a", "data": "d", "shots": [1]}}, r"tune\.shots must be a text"),
        ({"runs": [run("d", "half", 0.5)]}, r"runs\[0\]\.split must be base, new or all"),
        (
            {"runs": [run("d", "base", 71.9, stage=None)]},
            r"top1 must be a share in \[0, 1\]; found 71\.9",
        ),
        ({"runs": [run("d", "base", 0.5, stage=None)] * 2}, r"runs\[1\] is a second run"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_by_file_and_key(tmp_path, change, message):
    body = {"format": 1, "runs": [run("d", "base", 0.5, stage=None)], **change}
    path = write(tmp_path, body)
    with pytest.raises(DataError, match=message) as error:
        read_outcomes([path])
    assert str(error.value).startswith(str(path))


def test_an_accuracy_that_disagrees_with_its_run_is_refused(tmp_path):
    tune = {**TUNE, "name": "coop", "data": "d", "accuracy": {"base": 0.7}}
    path = write(tmp_path, {"format": 1, "runs": [run("d", "base", 0.8)], "tune": tune})
    with pytest.raises(DataError, match=r"tune\.accuracy\.base is 0\.7000, but .* top1 = 0\.8000"):
        read_outcomes([path])


def test_what_tip_adapters_cache_decides_is_the_accuracy_of_its_run(tmp_path):
    path = tuned(tmp_path / "a", "tip-adapter-f", "toy:fish", base=0.8)
    body = json.loads(path.read_text())
    body["tune"]["accuracy"] = {"base": 0.9}  # of cosine and cache; a run's top-1 is of the cosine
    path.write_text(json.dumps(body))
    (found,) = read_outcomes([path])
    assert found.accuracy == {"base": 0.9}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"format": NaN}', "[" * 100_000, "\ud800".join("ab")]
)
def test_what_is_not_json_is_refused_in_a_line(tmp_path, text):
    path = tmp_path / "metrics.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(DataError, match=r"metrics\.json: not ") as error:
        read_outcomes([path])
    assert "\n" not in str(error.value)


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"no metrics\.json in it"):
        find_files([tmp_path])
    with pytest.raises(DataError, match="no such file or folder"):
        find_files([tmp_path / "gone"])
    with pytest.raises(DataError, match="nothing to compare"):
        find_files([])


def test_an_infinite_number_is_refused(tmp_path):
    path = write(tmp_path, {"format": 1, "runs": [run("d", "base", 0.5, stage=None)]})
    body = json.loads(path.read_text())
    body["runs"][0]["measures"]["nc1/default"] = 10**400
    path.write_text(json.dumps(body))
    with pytest.raises(DataError, match=r"measures\.nc1/default must be a number"):
        read_outcomes([path])


def test_a_data_set_is_one_wherever_its_root_lies():
    assert data_identity("EuroSAT:/a/b") == data_identity("eurosat:/c") == "eurosat"
    assert data_identity("pets:/a") == data_identity("Oxford_Pets:/b") == "oxford_pets"
    assert data_identity("dtd:/a") == data_identity("DescribableTextures:/b")
    assert data_identity("imagenet-r:/a") == data_identity("imagenetr:/b")
    assert is_domain_of(data_identity("imagenet-r:/a"), data_identity("imagenet:/a"))
    assert data_identity("toy:shapes@night") == "toy:shapes@night"
    assert data_identity("/a/photos") == "/a/photos"
    assert data_identity("C:/photos") == "C:/photos"


def test_domains_are_the_same_task_elsewhere():
    assert is_domain_of("toy:shapes@night", "toy:shapes")
    assert is_domain_of("imagenet-r", "imagenet")
    assert not is_domain_of("imagenet", "imagenet")
    assert not is_domain_of("toy:fish@night", "toy:shapes")
    assert not is_domain_of("eurosat", "imagenet")


def test_short_names_stay_apart():
    found = short_names(["/a/x/pets", "/b/x/pets", "dogs"])
    assert found == {"/a/x/pets": "a/x/pets", "/b/x/pets": "b/x/pets", "dogs": "dogs"}
    assert short_names(["/a/pets"]) == {"/a/pets": "pets"}
    assert short_names([]) == {}


def test_the_seed_is_taken_out_of_a_path_only_where_a_folder_says_it():
    assert without_seed("a/seed3/b") == ("a/b", 3)
    assert without_seed("seedling/b") == ("seedling/b", None)


def test_data_named_otherwise_by_the_user_than_by_their_reader_are_the_same(tmp_path):
    tune = {**TUNE, "name": "coop", "data": "./photos/", "split": "base"}
    runs = [run("photos", "base", 0.7), run("photos", "new", 0.6), run("toy:fish", "all", 0.5)]
    own, other = read_outcomes([write(tmp_path, {"format": 1, "runs": runs, "tune": tune})])
    assert (own.trained_on, own.data, own.own_data) == ("photos", "photos", True)
    assert (other.trained_on, other.data, other.own_data) == ("photos", "toy:fish", False)


def test_a_run_of_ncscope_tune_is_read_as_it_is_written(tmp_path):
    import ncscope

    ncscope.tune("coop", data="toy:shapes", out=tmp_path / "run", shots=1, epochs=1, recipe="toy",
                 bootstrap=0, targets=["toy:shapes@sketch"], tau=0.05)  # fmt: skip
    own, other = read_outcomes(find_files([tmp_path]))
    assert (own.name, own.data, own.tau, own.seed) == ("coop", "toy:shapes", 0.05, 1)
    assert set(own.accuracy) == {"base", "new"}
    assert "delta_mid/cosine/centred" in own.measures["new"]
    assert set(other.accuracy) == {"all"}
    assert is_domain_of(other.data, own.data)

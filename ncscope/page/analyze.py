"""Sources to a report: feature files are read, everything else is extracted first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

from ncscope.diagnosis.against import with_reference
from ncscope.diagnosis.equal import side_by_side
from ncscope.diagnosis.interventions import intervene as intervened
from ncscope.diagnosis.measure import Run, measure
from ncscope.diagnosis.training import read_training
from ncscope.errors import DataError, NcscopeError
from ncscope.features.aligned import in_order_of
from ncscope.features.arranged import is_feature_file, is_feature_source
from ncscope.features.bundle import Features, as_pairs, read_features
from ncscope.features.cut import read_cut, without_images
from ncscope.features.extract import extract as extract_features
from ncscope.features.processes import ALONE, Spread, exchanged
from ncscope.page.report import Report
from ncscope.text import run_names


def analyze(
    *sources: Features | str | Path,
    data: Any = None,
    extract: Callable[[str], Features] | None = None,
    pairs: bool = False,
    normalise: bool = True,
    train_counts: Sequence[int] | Mapping[str, int] | None = None,
    bootstrap: int | None = None,
    seed: int = 0,
    progress: Callable[[str], Any] | None = None,
    spread: Spread = ALONE,
    intervene: bool | Features | str | Path = False,
    skip_bad: bool = False,
    strict: bool = True,
    check: Callable[[str], object] | None = None,
    left_out: Callable[[str], Any] | None = None,
    part: str | None = None,
    split: str = "all",
    **extraction: Any,
) -> Report:
    """Measure one or several sources side by side.

    Classes are put into the first source's order, by name, and the others compared with a
    reference: the source `zero-shot`, else the first; one source with its frozen text.

    Args:
        sources: `Features`, feature files, or with `data` whatever `ncscope.extract` takes.
        data, extraction: images to extract features of, and `ncscope.extract`'s other options:
            `analyze("run", data="eurosat:/data", backbone="ViT-B-16.pt")`.
        extract: in place of them, called with each source that is no feature file.
        pairs: take image i and text i as a class of their own, whatever labels there are.
        normalise, train_counts, bootstrap, seed, spread: as for `measure`.
        progress: called with a line of text as each source is taken up.
        part, split: of feature files, as for `ncscope.features.cut.read_cut`.
        intervene: also move the features along each measure and judge what that does; a training
            file or its features to estimate the moves on, else half of each class's images.
        skip_bad: leave out images whose features are zero, NaN or infinite, with a warning.
        strict: one bad source ends all; else those are left out, and `left_out` says why. Of
            several processes only those that are bad at first sight: a file, not an image of many.
        check: called with each source that `extract` is for, before the first is taken up, to
            refuse what is known to be bad without its images: `ncscope.zoo.load.check_source`.
        left_out: called with a line of text as a source is left out.

    Raises:
        DataError: no source, or one that is no feature file and no `extract` was given; or every
            source is bad.
        ShapeError: features that do not fit together.
    """
    if not sources:
        raise DataError("nothing to analyse: give a feature file or a source")
    for source in sources:
        if not isinstance(source, Features | str | PathLike):
            raise DataError(
                f"a source is `Features`, a file, a folder or `zero-shot`; got "
                f"{type(source).__name__}"
            )
    if extraction and (data is None or extract is not None):
        raise DataError(
            f"`{next(iter(extraction))}` says how features are extracted of `data`, "
            f"{'which is missing' if data is None else 'for which `extract` was given'}"
        )
    if data is not None and extract is None:
        extract = partial(
            extract_features, data=data, part=part, split=split, skip_bad=skip_bad,
            seed=seed or None, spread=spread, **extraction,
        )  # fmt: skip
    train = read_features(intervene) if isinstance(intervene, str | Path) else intervene

    read = partial(read_cut, part=part, split=split, skip_bad=skip_bad)
    order: list[str] = []  # of the first source's classes: the others' are brought to it
    measured_as = partial(
        measure, normalise=normalise, bootstrap=bootstrap, seed=seed, skip_bad=skip_bad
    )

    def measured(source: Features | str | Path) -> Run:
        if progress is not None and not isinstance(source, Features):
            progress(str(source))
        features = _features(source, extract, read)
        features = as_pairs(features) if pairs else features
        if order and not pairs:
            features = in_order_of(features, order) or features
        order[:] = order or features.classnames
        run = measured_as(features, train_counts=train_counts, spread=spread)
        if train is not False and spread.first:
            run = with_interventions(run, None if train is True else train, normalise, seed)
        return run if isinstance(source, Features) else _with_training(run, source)

    bad: dict[str, NcscopeError] = {}

    def unless_bad(
        step: Callable[[Any], Any], source: Features | str | Path, *, shared: bool
    ) -> Any:
        found = error = None
        try:
            found = step(source)
        except NcscopeError as caught:
            if strict or len(sources) == 1 or (shared and spread.world > 1):
                raise
            error = caught
        if not shared:  # what one process cannot read all leave out
            said = [one for one in exchanged(error and str(error), spread) if one is not None]
            error = error or (DataError(said[0]) if said else None)
        if error is not None:
            bad[_name(source)] = error
            if left_out is not None:
                left_out(f"{_name(source)} is left out: {error}")
        return None if error is not None else found

    look = None if extract is None else check or (lambda _: None)
    if len(sources) > 1:  # all are looked at before the first takes its minutes
        for source in sources:
            unless_bad(lambda source: _features(source, look, read), source, shared=False)
    good = [source for source in sources if _name(source) not in bad]
    runs = [unless_bad(measured, source, shared=True) for source in good]
    runs = [run for run in runs if run is not None]
    if not runs:
        raise _all_bad(bad)
    reasons = ({"source": name, "reason": str(error)} for name, error in bad.items())
    runs = side_by_side(runs, normalise=normalise, skip_bad=skip_bad, spread=spread)
    if spread.first:  # the others' part is done
        runs = with_reference(runs, run_names([run.record for run in runs]), measured_as)
    return Report(tuple(runs), tuple(reasons))


def _name(source: Features | str | Path) -> str:
    named = source.provenance.get("source") if isinstance(source, Features) else source
    return str(named or "features")


def _all_bad(bad: Mapping[str, NcscopeError]) -> NcscopeError:
    """What is raised where no source is good: what is wrong with all of them, or with the first."""
    reasons = {str(error) for error in bad.values()}
    name, first = next(iter(bad.items()))
    if len(reasons) == 1:
        return first
    return DataError(f"none of {len(bad)} sources can be measured; {name}: {first}")


def _features(
    source: Features | str | Path,
    extract: Callable[[str], Any] | None,
    read: Callable[[str | Path], Features],
) -> Any:
    """The features of a source; what `extract` gives for one that is no feature file."""
    if isinstance(source, Features):
        return source
    if is_feature_file(source) or (extract is None and is_feature_source(source)):
        return _named(read(source), str(source))
    if extract is None:
        raise DataError(without_images(source))
    return extract(str(source))


def _named(features: Features, source: str) -> Features:
    """A file's features, with the file as their source where they name none."""
    if features.provenance.get("source"):
        return features
    return replace(features, provenance={**features.provenance, "source": source})


def _with_training(run: Run, source: str | Path) -> Run:
    """The run with what its folder tells of its training."""
    training = read_training(source)
    if training is None:
        return run
    warnings = [*run.record["warnings"], *training.notes]
    return replace(run, record={**run.record, "warnings": warnings}, training=training)


def with_interventions(run: Run, train: Features | None, normalise: bool, seed: int) -> Run:
    """The run with what moving its features does; a run that cannot be moved says why."""
    record = run.record
    try:
        found = intervened(run.features, train, seed=seed, normalise=normalise)
    except DataError as error:
        warnings = [*record["warnings"], f"interventions left out: {error}"]
        return replace(run, record={**record, "interventions": [], "warnings": warnings})
    notes = [f"interventions: {note}" for note in found.notes]
    return replace(run, record={
        **record, "interventions": found.rows, "warnings": [*record["warnings"], *notes],
        "conventions": {**record["conventions"], "interventions": found.how},
    })  # fmt: skip

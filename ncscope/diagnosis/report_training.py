"""The training behind a source, where its folder still has what the run wrote."""

from dataclasses import dataclass
from pathlib import Path

from ncscope.diagnosis.training import TRAJECTORY_NAME, Trajectory, read_trajectory
from ncscope.diagnosis.training_log import LOG_NAME, TrainingLog, read_log
from ncscope.errors import DataError


@dataclass(frozen=True, eq=False)
class Training:
    """A run's log and trajectory, as far as there are; `notes` says what could not be read."""

    log: TrainingLog | None
    trajectory: Trajectory | None
    notes: tuple[str, ...] = ()


def read_training(source: str | Path) -> Training | None:
    """What lies in a run's folder, or beside a file of it; None where neither file is there.

    A damaged file is a note: it must not cost the measures.
    """
    path = Path(source)
    folder = path if path.is_dir() else path.parent if path.is_file() else None
    if folder is None:
        return None
    notes: list[str] = []
    log = trajectory = None
    if (folder / LOG_NAME).is_file():
        try:
            log = read_log(folder)
            notes += log.notes
        except DataError as error:
            notes.append(str(error))
    if (folder / TRAJECTORY_NAME).is_file():
        try:
            trajectory = read_trajectory(folder)
        except DataError as error:
            notes.append(str(error))
    if log is None and trajectory is None and not notes:
        return None
    return Training(log, trajectory, tuple(notes))

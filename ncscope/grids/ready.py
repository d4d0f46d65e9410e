"""The grids that come with the package: the paper's tables and figures, on the toy and on data."""

from pathlib import Path

from ncscope.errors import DataError

FOLDER = Path(__file__).with_name("specs")


def ready_names() -> list[str]:
    """What `ncscope sweep NAME` takes beside a file of one's own."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def spec_path(name_or_file: str | Path) -> Path:
    """The file of a grid: one that comes with the package by its name, else a path.

    Raises:
        DataError: neither; the names are listed. Or it cannot be looked for.
    """
    names = ready_names()
    if str(name_or_file) in names:
        return FOLDER / f"{name_or_file}.toml"
    path = Path(name_or_file)
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise DataError(f"{path}: no such file, and no ready grid: {', '.join(names)}") from None
    except (OSError, ValueError) as error:  # no access, a name too long, or NUL in it
        reason = getattr(error, "strerror", None) or error
        raise DataError(
            f"{str(path)[:100]}: cannot be read ({reason}); expected a TOML file or a ready grid"
        ) from None
    return path

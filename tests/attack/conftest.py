"""What takes minutes runs only where it is asked for by its marker: `pytest -m attack`."""

import pytest


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if "attack" in str(config.getoption("markexpr")):
        return
    left = [item for item in items if item.get_closest_marker("attack") is not None]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]

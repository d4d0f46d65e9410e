"""The README's table of methods, made from what the code knows of them."""

from ncscope.checkpoint.fingerprint import TABLE
from ncscope.checkpoint.methods import METHODS, TUNED_HERE
from ncscope.checkpoint.trainers import plain_method
from ncscope.zoo.learners import REFUSED

_HEAD = ("method", "recognised by", "text features", "image features", "new classes", "tuned here")


def methods_table() -> str:
    """A Markdown table, a row a method; what is refused stands below, with the reason."""
    rows = [
        (
            method.name,
            recognised_by(method.name),
            method.text,
            method.image,
            method.new_classes,
            "yes" if method.name in TUNED_HERE else "–",
            method.caveat,
        )
        for method in METHODS
    ]
    lines = [f"| {' | '.join(_HEAD)} | note |", f"|{'---|' * (len(_HEAD) + 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    refused = [
        f"- {name} (recognised by {recognised_by(name)}): {why}." for name, why in REFUSED.items()
    ]
    return "\n".join([*lines, "", "Recognised, but refused for features, with the reason:", ""]) + (
        "\n" + "\n".join(refused) + "\n"
    )


def recognised_by(name: str) -> str:
    """`keys`, or `keys and log` where another method saves the same ones.

    Without a log the usual method of those with the same keys is taken.
    """
    if name == "DePT":
        return "keys"
    sharing = [row for row in TABLE if name in map(plain_method, row.methods)]
    alone = all({plain_method(method) for method in row.methods} == {name} for row in sharing)
    return "keys" if sharing and alone else "keys and log"

"""Words as Markdown and LaTeX print them: always text, never markup."""

import re

from ncscope.text import clean

_MARKDOWN = re.compile(r"([\\`*_\[\]<>|#$~&])")
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%",
    "#": r"\#", "_": r"\_", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "|": r"$|$", "<": r"$<$", ">": r"$>$", "−": "$-$", "–": "--", "—": "---", "…": r"\dots{}",
    "×": r"$\times$", "Δ": r"$\Delta$", "√": r"$\surd$", "∞": r"$\infty$", "\u202f": r"\,",
    "·": r"$\cdot$", "±": r"$\pm$", "ρ": r"$\rho$", "τ": r"$\tau$", "λ": r"$\lambda$",
    "σ": r"$\sigma$", "≤": r"$\leq$", "≥": r"$\geq$",
}  # fmt: skip
_RAISED = dict(zip("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-", strict=True))
_SIGNS = re.compile("|".join(re.escape(sign) for sign in _LATEX))


def in_markdown(text: str) -> str:
    """Text that Markdown shows as it stands, also in a cell of a table."""
    return _MARKDOWN.sub(r"\\\1", clean(text))


def in_latex(text: str) -> str:
    """Text that LaTeX prints as it stands; signs and raised digits by its own commands."""
    words = _SIGNS.sub(lambda found: _LATEX[found[0]], clean(text))
    raised = f"[{''.join(_RAISED)}]+"
    return re.sub(raised, lambda m: f"$^{{{''.join(_RAISED[c] for c in m[0])}}}$", words)

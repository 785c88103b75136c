"""What `theory` does: the theorems, each checked by a sum over every mask, and their picture."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from dropout_lab.commands.names import Look, directory
from dropout_lab.commands.result import Result, failed, unwritten
from dropout_lab.storage import make_directory

if TYPE_CHECKING:
    from dropout_lab.claims import theory as theorems


def theory(out: Path | None, look: Look) -> Result[list[theorems.Result]]:
    """Check every theorem, and draw theory.png in `out`, if given. Theorems that fail are an error of the result."""
    out = directory("--out", out)
    from dropout_lab.claims import theory as theorems

    checked = theorems.verify_all()

    def picture(out: Path) -> None:
        from dropout_lab.claims import theory_figure
        from dropout_lab.figures import plots, style

        make_directory(out)
        with style.look(look.style, look.size):
            plots.save(theory_figure.two_readings(), out / f"theory.{look.form}")

    lost = unwritten(out, partial(picture, out)) if out else []
    return Result(
        checked,
        lambda width: theorems.as_text(checked, width),
        lambda: theorems.as_dict(checked),
        written=f"{out}: theory.{look.form}" if out else "",
        lost=lost,
        error=failed([f"{found.id}: {found.statement}: fails" for found in checked if not found.holds]),
    )

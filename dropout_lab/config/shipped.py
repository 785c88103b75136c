"""The configs that come with the package: they have names, such as digits-dropout, and work without a checkout."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent


def folder() -> Path:
    """Return where they are: in the package, where a wheel puts them, or else beside it, in a checkout."""
    inside = PACKAGE / "configs"
    return inside if inside.is_dir() else PACKAGE.parent / "configs"


FOLDER = folder()


def names() -> list[str]:
    """Return their names in order: digits-dropout, and with their folder those of claims, such as claims/small."""
    return sorted(file.relative_to(FOLDER).with_suffix("").as_posix() for file in FOLDER.rglob("*.yaml"))


def file(name: str) -> Path | None:
    """Return the file of the config with this name, or None if none has it."""
    return FOLDER / f"{name}.yaml" if name in names() else None

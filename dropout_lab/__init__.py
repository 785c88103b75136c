"""dropout-lab: what does dropout do to this network, on this data, and can we trust the answer?

The Python API is that of `api.py`: `import dropout_lab as lab`, then `lab.train`, `lab.merge`, `lab.load`,
`lab.compare`, `lab.sweep`, `lab.variance`, `lab.power`, `lab.evaluate`, `lab.plot`. It is imported when it is first
used, so that the command line comes at once.
"""

from typing import TYPE_CHECKING

from dropout_lab.errors import Failed, LabError, Refused

if TYPE_CHECKING:
    from dropout_lab.api import (
        Comparison,
        Power,
        Run,
        SweepTable,
        Variance,
        compare,
        evaluate,
        load,
        merge,
        plot,
        power,
        sweep,
        train,
        variance,
    )

__version__ = "0.1.0"
__all__ = [
    "Comparison",
    "Failed",
    "LabError",
    "Power",
    "Refused",
    "Run",
    "SweepTable",
    "Variance",
    "compare",
    "evaluate",
    "load",
    "merge",
    "plot",
    "power",
    "sweep",
    "train",
    "variance",
]

if not TYPE_CHECKING:  # to a type checker, every name would be there

    def __getattr__(name):
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from dropout_lab import api

        return getattr(api, name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

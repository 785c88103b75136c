"""What `lesson` does: its runs, trained as far as they are missing, and the page that tells their story."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dropout_lab import terminal
from dropout_lab.commands.names import Options, check_page
from dropout_lab.commands.plan import train_missing
from dropout_lab.commands.result import Result
from dropout_lab.commands.swept import judge_sweep, sweep_jobs
from dropout_lab.data.datasets import at_home
from dropout_lab.errors import stop_at
from dropout_lab.lesson import plan


def lesson(
    dataset: str, out: Path, options: Options, *, words: Sequence[str] = (), places: Sequence[str] = ()
) -> Result[Path]:
    """Train what the lesson about a data set lacks, and write its page.

    words: overrides such as "training.epochs=3". places: the options, as typed, that say where runs and data are: the
    commands on the page need them. Raises `Failed` if a run failed: the story needs them all.
    """
    out = at_home(out)
    check_page("--out", out, (".html",))
    story = plan.story(dataset, words, options.seeds, options.device, places)
    both = [story.rates, story.stops]
    jobs = [job for sweep in both for job in sweep_jobs(sweep, options)]
    stop_at(train_missing(jobs, options, sweeps=both))
    lost = [line for sweep in both for line in judge_sweep(sweep, options)[1]]
    from dropout_lab.lesson import gather, page

    def say(text: str) -> None:
        if not options.quiet:
            terminal.say(text)

    trained = gather.read(story, options.runs, options.data)
    page.write(gather.gather(trained, options.data, say), story, out)
    return Result(out, written=str(out), lost=lost)

"""How the command line runs a command: what is shown where, what signals and errors do, which exit code results."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import typer
from typer.core import TyperCommand, TyperOption

from dropout_lab import terminal
from dropout_lab.commands.result import Audience, Result, failed
from dropout_lab.errors import Failed, LabError, Problem, Refused, printable
from dropout_lab.storage import as_json
from dropout_lab.terminal import result, say

if TYPE_CHECKING:
    from dropout_lab.commands.names import Options

PROGRAM = "dropout-lab"
SMOKE = "smoke run: no statistical verdict"
DRAWING = {"MPLBACKEND": "agg", "MATPLOTLIBRC": str(Path(__file__).parent / "figures" / "figure.mplstyle")}
STOPPING = signal.SIGINT, signal.SIGTERM, signal.SIGHUP

Function = TypeVar("Function", bound=Callable[..., Any])


class Screen(Audience):
    """Shows what one command does: results on stdout in the form that is asked for, everything else on stderr.

    As a context it says, once the plan has been announced, how to go on with what is interrupted.
    """

    def __init__(self, *, dry_run: bool = False, smoke: bool = False, **forms: bool) -> None:
        """Take the options of the command. Raises `Refused` for more than one form: of json, csv and md."""
        asked = [form for form, wanted in forms.items() if wanted]
        if len(asked) > 1:
            options = " ".join(f"--{form}" for form in forms)
            raise Refused(Problem("command line", options, "must be one of them", shlex.join(sys.argv[1:])))
        self.form = asked[0] if asked else "text"
        self.dry_run, self.smoke, self.announced = dry_run, smoke, False
        self.typed = [PROGRAM, *sys.argv[1:]]

    def options(self, runs_dir: Path, data_dir: Path | None = None, device: str | None = None, **more: Any) -> Options:
        """Return the options of a command whose plan and results are shown here."""
        from dropout_lab.commands.names import options

        return options(runs_dir, data_dir, device, smoke=self.smoke, audience=self, **more)

    def announce(self, plan: Result[Any]) -> None:
        """Say the plan; for a dry run it is the result, and the command ends."""
        if self.dry_run:
            result(as_json(plan.data()) if self.form == "json" else plan.text(terminal.width()))
            raise typer.Exit()
        self.announced = True
        say(plan.text(terminal.width()))

    def preview(self, early: Result[Any]) -> None:
        """Show a result as text; as data there is one result, at the end."""
        if self.form == "text":
            result(early.text(terminal.width()))

    def show(self, shown: Result[Any]) -> None:
        """Show a command's result, write the summary page of a CI job, and end as the result says."""
        if text := self._rendered(shown):
            result(text)
        elif shown.hint:
            say(shown.hint)
        if page := shown.markdown():
            terminal.step_summary(page + f"\n{SMOKE}\n" * self.smoke)
        if self.smoke:
            (result if self.form == "text" else say)(SMOKE)
        if shown.written and not shown.lost:
            say(f"written   {shown.written}")
        error = failed([*([str(shown.error)] if shown.error else []), *shown.lost]) if shown.lost else shown.error
        if shown.tripped:
            if error:
                report(error)
            say(f"{PROGRAM}: gate: {shown.tripped}")
            terminal.step_summary(f"**Gate tripped**: {shown.tripped}\n")
            raise typer.Exit(3)
        if error:
            raise error
        for remark in shown.remarks:
            say(remark)

    def _rendered(self, shown: Result[Any]) -> str:
        if self.form == "json":
            return as_json(shown.data())
        return {"csv": shown.csv, "md": shown.markdown}.get(self.form, lambda: shown.text(terminal.width()))()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.announced and isinstance(error, Interrupted):
            command = shlex.join(word for word in self.typed if word != "--fresh")
            say(f"\ninterrupted; the epochs up to the last checkpoint are saved. Go on with\n  {command}")


class Command(TyperCommand):
    """A command that refuses an option that is given twice, where the second value would replace the first."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # of Typer's own
        _, _, order = self.make_parser(ctx).parse_args(args=[*args])
        for option in order:
            if isinstance(option, TyperOption) and not (option.multiple or option.is_flag) and order.count(option) > 1:
                raise Refused(Problem("command line", option.opts[0], "must be given once", shlex.join(args)))
        return super().parse_args(ctx, args)


class Commands(typer.Typer):
    """A group of commands, each of them a `Command`."""

    def command(self, *names: Any, **more: Any) -> Callable[[Function], Function]:
        """Register a command."""
        return super().command(*names, cls=Command, **more)


class Interrupted(BaseException):
    """One of STOPPING arrived; `number` is the signal's. Not an error: nothing that handles errors may catch it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    """Let the command save and stop; the next signal stops it at once."""
    for stopping in STOPPING:
        signal.signal(stopping, signal.SIG_DFL)
    raise Interrupted(number)


def _swallowed(lost: sys.UnraisableHookArgs) -> None:
    """Send a signal again whose exception was raised where nobody can catch it, such as in a hook of a library."""
    if isinstance(lost.exc_value, Interrupted):
        signal.signal(number := lost.exc_value.number, _interrupt)
        threading.Timer(0.05, os.kill, (os.getpid(), number)).start()
    else:
        sys.__unraisablehook__(lost)


def main(app: typer.Typer) -> NoReturn:
    """Run the command line and exit with the codes of the contract (0, 1, 2, 3, 129, 130, 143)."""
    terminal.prepare()
    sys.unraisablehook = _swallowed
    os.environ |= DRAWING  # pictures become files, whatever matplotlib is told to do for programs with windows
    for stopping in STOPPING:
        if stopping != signal.SIGHUP or signal.getsignal(stopping) != signal.SIG_IGN:  # which nohup asks for
            signal.signal(stopping, _interrupt)
    sys.exit(run(app))


def run(app: typer.Typer) -> int:
    """Run the command line in sys.argv, report what goes wrong, and return the exit code."""
    try:
        return int(app(prog_name=PROGRAM, standalone_mode=False) or 0)
    except LabError as error:
        return report(error)
    except typer.TyperException as error:
        return report(Refused(_usage(error)))
    except MemoryError:
        return report(Failed("out of memory: free some, or ask for fewer seeds, processes or images"))
    except Interrupted as interrupted:
        return 128 + interrupted.number
    except BrokenPipeError:  # whoever read stderr has gone, as in `dropout-lab train ... 2>&1 | head -1`
        return 1


def report(error: LabError) -> int:
    """Say each line of an error, and return its exit code."""
    for line in str(error).splitlines():
        say(f"{PROGRAM}: error: {line}")
    return error.exit_code


def require_command(context: typer.Context) -> None:
    """Show the help and refuse, where a group of commands is called without one."""
    if context.invoked_subcommand is None:
        say(context.get_help() + "\n")
        raise Refused(Problem("command line", "command", f"is missing; see {context.command_path} --help", "nothing"))


def _usage(error: typer.TyperException) -> Problem:
    """Return what was wrong with the command line, in the form of every other refusal."""
    context, parameter = getattr(error, "ctx", None), getattr(error, "param", None)
    name = parameter and (parameter.metavar if parameter.param_type_name == "argument" else parameter.opts[0])
    near = getattr(error, "possibilities", None)
    message = getattr(error, "message", "").removeprefix("Value error, ")  # of options with a few possible values
    text = f"no such option. Did you mean {near[0]}?" if near else message or "is missing"
    text = text[0].lower() + text[1:].replace(". Did you mean", ", did you mean").rstrip(".")
    key = getattr(error, "option_name", None) or name or "command"
    if key == "--seed" and near and "--seeds" in near:
        text += "; for the seed 42 alone write --seeds 42..42"
    reason = f"{text}; see {context.command_path if context else PROGRAM} --help"
    value = key if getattr(error, "option_name", None) else shlex.join(sys.argv[1:])
    return Problem("command line", key, printable(reason), value)

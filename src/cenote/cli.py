"""The command ``cenote``: train, eval, predict, export, demo, inspect, view, bench, doctor.

Commands print results on standard output. An error is one line on standard error and exit code 2;
``CENOTE_DEBUG=1`` shows where it came from.
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

import cenote
from cenote import training
from cenote.benchmarking import convolution, networks
from cenote.benchmarking.pooling import Plan
from cenote.training import Answer, Config, ImageError, Interrupted, Run
from cenote.training.ready import Ready

__all__ = ["app", "main"]

app = typer.Typer(
    name="cenote",
    help="Convolution and pooling for PyTorch, at the speed of memory, and see-through.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_RUN = typer.Argument(help="Folder of a run, as cenote train leaves it.", metavar="RUN")
_WEIGHTS = typer.Option(help="Which weights: last, or best on the validation images.")
_TRAINED = typer.Argument(help="Folder of a run, or one of our networks by name.", metavar="RUN")
_OF_EITHER = typer.Option(
    help="Of a run: last, or best on the validation images. Of a network by name: their file."
)
_JSON = typer.Option("--json", help="Print JSON.")
_TUNE = typer.Option(help="Keep freed memory for the next tensors (glibc only).")


def _options(of: type, without: Sequence[str]) -> list[inspect.Parameter]:
    """One parameter for each field: its name, type, default and help are the option's."""
    hints: dict[str, Any] = get_type_hints(of)
    parameters = []
    for field in fields(of):
        if field.name in without:
            continue
        words = field.metadata["help"]
        plain = field.name.strip("_").replace("_", "-")
        option = f"--{plain}/--no-{plain}" if field.default is True else f"--{plain}"
        default = (
            typer.Argument(field.default, help=words)
            if field.name == "network" and of is Config  # what is trained stands alone
            else typer.Option(
                field.default, option, help=words, show_default=_shown(field.default, words)
            )
        )
        parameters.append(
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=default,
                annotation=hints[field.name],
            )
        )
    return parameters


def _shown(default: Any, words: str) -> str | bool:
    """How help says a default that it would be silent about, unless the help itself says it."""
    if default is False:
        return "no"
    return "none" if default is None and "default" not in words else True


def _with_options(
    of: type, *, without: Sequence[str] = ()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the fields of a class as options, in the place of its ``**options``."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters = kept + _options(of, without)
        command.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in parameters}
        return command

    return decorate


def _given(context: typer.Context, options: dict[str, Any]) -> dict[str, Any]:
    """Of ``options``, those that the person wrote: the rest is the library's to decide."""
    sources = {name: context.get_parameter_source(name) for name in options}
    return {n: v for n, v in options.items() if getattr(sources[n], "name", "DEFAULT") != "DEFAULT"}


def _tune(context: typer.Context, wanted: bool) -> None:
    """Tune the allocator until the command ends."""
    if wanted:
        context.with_resource(cenote.tune_allocator())


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Say how to go on after Ctrl-C, and leave with the exit code that shells give it."""
    try:
        yield
    except Interrupted as error:
        if training.speaks():
            print(error, file=sys.stderr)
        raise typer.Exit(130) from None


@app.command()
@_with_options(Config)
def train(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None,
        typer.Option(help="A TOML file with options by name; those written here come first."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, to the same bits.")
    ] = False,
    recipe: Annotated[
        str | None,
        typer.Option(help=f"Options that go well together: {', '.join(training.RECIPES)}."),
    ] = None,
    tune_allocator: Annotated[bool, _TUNE] = True,
    **options: Any,
) -> None:
    """Train a network and leave a run folder."""
    _tune(context, tune_allocator)
    given = _given(context, options)
    if config is not None:
        given = training.read_options(config) | given
    with _stoppable():
        result = training.fit(resume=resume, recipe=recipe, **given)
    if training.speaks():
        print(_outcome(result.summary))
        print(f"run in {result.run.folder}")


def _outcome(summary: Mapping[str, Any]) -> str:
    """What a training came to, in a line."""
    pace = f"trained in {summary['seconds']:.1f} s, {summary['images_per_second']:,.0f} images/s"
    if summary.get("test_accuracy") is not None:
        return (
            f"test accuracy {100 * summary['test_accuracy']:.2f} % "
            f"({summary['test_errors']} of {summary['test_images']} wrong), {pace}"
        )
    if summary.get("test_mae") is not None:
        mae, rmse = summary["test_mae"], summary["test_rmse"]
        return f"test mean absolute error {mae:.4g}, root mean square {rmse:.4g}, {pace}"
    return pace


@app.command(name="eval")
def evaluate(
    context: typer.Context,
    run: Annotated[Path, _TRAINED],
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    weights: Annotated[str, _OF_EITHER] = "last",
    data: Annotated[
        str | None, typer.Option(help="Folder of pictures, for one of our networks by name.")
    ] = None,
    as_json: Annotated[bool, _JSON] = False,
    tune_allocator: Annotated[bool, _TUNE] = True,
) -> None:
    """Measure a trained network on a part of its data."""
    from cenote.training import answers

    _tune(context, tune_allocator)
    if answers.is_ours(run):
        ready, loss = answers.ours(str(run), weights), "cross_entropy"
        dataset = answers.labelled(ready, data, split)
    else:
        answers.refuse(data=data)
        opened = Run.open(run)
        ready, loss = Ready.of_run(opened, weights), opened.config.loss
        dataset = opened.data(split)
    objective = training.Objective.of(dataset, loss, 0.0)
    measured = training.measure(
        ready.model, dataset, objective, mean=ready.facts.mean, std=ready.facts.std
    )
    figures = measured.figures
    if as_json:
        print(json.dumps({"split": split, **figures}))
    elif "accuracy" in figures:
        print(
            f"{split} accuracy {100 * figures['accuracy']:.2f} % "
            f"({figures['errors']} of {figures['images']} wrong), loss {figures['loss']:.4f}"
        )
    else:
        print(
            f"{split} mean absolute error {figures['mae']:.4g}, "
            f"root mean square {figures['rmse']:.4g}, loss {figures['loss']:.4g}"
        )


@app.command()
def predict(
    context: typer.Context,
    run: Annotated[Path, _TRAINED],
    images: Annotated[
        list[Path], typer.Argument(help="Pictures, of any size and mode, and folders of some.")
    ],
    weights: Annotated[str, _OF_EITHER] = "last",
    classes: Annotated[
        Path | None,
        typer.Option(help="Names of the classes, a line each, of a network by name."),
    ] = None,
    as_json: Annotated[bool, _JSON] = False,
    out: Annotated[
        Path | None, typer.Option(help="Write the answers here: a .csv or a .json file.")
    ] = None,
    tune_allocator: Annotated[bool, _TUNE] = True,
) -> None:
    """Say what a trained network sees in pictures: its three most probable answers."""
    from cenote.training import answers

    _tune(context, tune_allocator)
    answers.check_target(out)
    opened: Run | Ready
    if answers.is_ours(run):
        opened = answers.ours(str(run), weights, classes)
    else:
        answers.refuse(classes=classes)
        opened = Run.open(run)
    paths = answers.pictures(images)
    results = answers.predict(opened, paths, weights)
    if out is not None:
        answers.write(out, paths, results)
        print(f"wrote {out}: {len(paths)} pictures", file=sys.stderr if as_json else sys.stdout)
    if as_json:
        print(json.dumps(answers.rows(paths, results), indent=2))
    width = max(len(str(path)) for path in paths)
    for path, result in zip(paths, results, strict=True):
        if isinstance(result, ImageError):
            _complain(str(result))
        elif not as_json and out is None:
            print(f"{path!s:{width}}  {_top(result)}")
    if any(isinstance(result, ImageError) for result in results):
        raise typer.Exit(1)


@app.command()
def export(
    run: Annotated[Path, _RUN],
    format: Annotated[
        str, typer.Option(help="onnx, torch (a .pt2 of torch.export) or safetensors.")
    ] = "onnx",
    out: Annotated[
        Path | None, typer.Option(help="The file; model.onnx, .pt2 or .safetensors in RUN.")
    ] = None,
    weights: Annotated[str, _WEIGHTS] = "last",
) -> None:
    """Write a trained network as a file for other programs, and check what was written."""
    from cenote.training.export import export as write

    print(write(Run.open(run), format, out, weights))


def _top(answer: Answer) -> str:
    return "   ".join(f"{name} {100 * value:6.2f} %" for name, value in answer.top)


@app.command()
@_with_options(Config, without=("network", "out", "size", "resize", "channels", "bad", "weights"))
def demo(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(help="Folder of the page and its pictures.")] = Path("demo"),
    show: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page, where there is a desktop.")
    ] = True,
    tune_allocator: Annotated[bool, _TUNE] = True,
    **options: Any,
) -> None:
    """Train LeNet-5 on all of MNIST, and show on one page what it learnt."""
    from cenote.inspection import demonstrate

    _tune(context, tune_allocator)
    with _stoppable():
        page = demonstrate(out, **_given(context, options))
    print(f"the page: {page}")
    if show and _has_desktop():
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def _has_desktop() -> bool:
    """Whether a browser window would be seen by someone."""
    if os.environ.get("CI") or not sys.stdout.isatty():
        return False
    return sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )


_TARGET = typer.Argument(
    help="FILE.py:make_model, a run's folder, a .pt2 archive, or one of our networks by name.",
    metavar="MODEL",
)
_INPUT = typer.Option(
    "--input", help="Sizes of an input, 1,3,224,224 or 1,16:int64; once for each input."
)
_IMAGE = typer.Option(help="A picture for the first input.")
_MEAN = typer.Option(help="Mean of a channel, of values in [0, 1]; once for each channel.")
_STD = typer.Option(help="Standard deviation of a channel; once for each channel.")


@app.command(name="inspect")
def inspect_model(
    model: Annotated[str, _TARGET],
    input: Annotated[list[str] | None, _INPUT] = None,
    image: Annotated[Path | None, _IMAGE] = None,
    html: Annotated[Path | None, typer.Option(help="Write the page to explore here.")] = None,
    json_: Annotated[
        Path | None, typer.Option("--json", help="Write the record as JSON here.")
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option(help="Write feature maps and costs as pictures here.")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Put modules deeper than this together.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="The largest first: parameters, macs, flops, read, written, kept, seconds, field."
        ),
    ] = None,
    object_size: Annotated[
        int | None, typer.Option(help="How large, in pixels, what shall be recognised is.")
    ] = None,
    effective: Annotated[
        bool, typer.Option(help="Measure effective receptive fields for the page.")
    ] = True,
    spatial: Annotated[
        int | None,
        typer.Option(
            help="How many of the last axes are spatial; all after the second by default."
        ),
    ] = None,
    mean: Annotated[list[float] | None, _MEAN] = None,
    std: Annotated[list[float] | None, _STD] = None,
) -> None:
    """See what a network does: shapes, fields, cost, advice; as a table, a page, pictures."""
    from cenote.inspection.command import Wishes, look
    from cenote.inspection.subject import load_subject

    subject = load_subject(model, input or (), image, mean=mean or (), std=std or ())
    wishes = Wishes(depth, sort, html, json_, pictures, object_size, effective, spatial)
    record = look(subject, wishes)
    if record.error is not None:
        raise typer.Exit(1)


@app.command()
def view(
    model: Annotated[str, _TARGET],
    input: Annotated[list[str] | None, _INPUT] = None,
    image: Annotated[Path | None, _IMAGE] = None,
    port: Annotated[int, typer.Option(help="Of 127.0.0.1; 0 takes a free one.")] = 0,
    show: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page, where there is a desktop.")
    ] = True,
    mean: Annotated[list[float] | None, _MEAN] = None,
    std: Annotated[list[float] | None, _STD] = None,
) -> None:
    """Serve the page of a network on this machine: draw or drop a picture, all layers follow."""
    from cenote.inspection.live import serve
    from cenote.inspection.subject import load_subject

    subject = load_subject(model, input or (), image, mean=mean or (), std=std or ())

    def ready(address: str) -> None:
        print(f"{subject.title} at {address} (Ctrl-C ends it)", flush=True)
        if show and _has_desktop():
            import webbrowser

            webbrowser.open(address)

    serve(subject, port, ready)


class _ModelOrCommand(typer.core.TyperGroup):
    """Commands below ``bench``; where a model stands in the place of one, that is measured."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """``FILE.py:make_model ...`` is ``model FILE.py:make_model ...``."""
        if args and args[0] not in self.commands and _names_a_model(args[0]):
            args = ["model", *args]
        return super().resolve_command(ctx, args)


def _names_a_model(word: str) -> bool:
    from cenote import models

    ending = Path(word).suffix in (".py", ".pt2")
    return ":" in word or ending or "/" in word or word in models.names()


bench = typer.Typer(
    help="Time what is computed, against every peer that is installed; or a model of your own, "
    "before and after cenote.accelerate: cenote bench FILE.py:make_model --input 8,3,224,224.",
    cls=_ModelOrCommand,
)
app.add_typer(bench, name="bench", no_args_is_help=True)

_RECORDS = typer.Argument(help="Records, as cenote bench pooling, conv or networks leaves them.")


@bench.command()
@_with_options(Plan)
def pooling(
    *,
    show: Annotated[bool, typer.Option("--list", help="Only show what would be measured.")] = False,
    **options: Any,
) -> None:
    """Time pooling against every peer and the roof; results are compared first."""
    from cenote.benchmarking import command

    if not command.pooling(Plan(**options), show=show):
        raise typer.Exit(130)


@bench.command()
@_with_options(convolution.Plan)
def conv(
    *,
    show: Annotated[bool, typer.Option("--list", help="Only show what would be measured.")] = False,
    **options: Any,
) -> None:
    """Time convolutions and stages against every peer; results are compared first."""
    from cenote.benchmarking import command

    if not command.conv(convolution.Plan(**options), show=show):
        raise typer.Exit(130)


@bench.command(name="networks")
@_with_options(networks.Plan)
def nets(
    *,
    show: Annotated[bool, typer.Option("--list", help="Only show what would be measured.")] = False,
    **options: Any,
) -> None:
    """Time whole networks against every peer, and the memory of a step; goes on with --out."""
    from cenote.benchmarking import command

    if not command.nets(networks.Plan(**options), show=show):
        raise typer.Exit(130)


@bench.command(name="model")
def own_model(
    context: typer.Context,
    model: Annotated[str, _TARGET],
    input: Annotated[list[str] | None, _INPUT] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Rules to leave out, joined by commas.")
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="A step of training instead of inference.")
    ] = False,
    turns: Annotated[int, typer.Option(help="Turns of each contender.")] = 15,
    layout: Annotated[str, typer.Option(help="As cenote.accelerate takes it.")] = "auto",
    tune_allocator: Annotated[
        bool, typer.Option(help="Keep freed memory for the next tensors, for all (glibc only).")
    ] = False,
) -> None:
    """Time a model of your own before and after cenote.accelerate; the word itself can be left."""
    from cenote.benchmarking import command

    _tune(context, tune_allocator)
    rules = [name.strip() for words in without or () for name in words.split(",")]
    command.model(model, input or (), without=rules, training=training, turns=turns, layout=layout)


@bench.command()
def table(record: Annotated[Path, _RECORDS]) -> None:
    """Print the table of a record again."""
    from cenote.benchmarking import command

    command.table(record)


@bench.command()
def charts(
    record: Annotated[Path, _RECORDS],
    out: Annotated[Path, typer.Option(help="Folder of the pictures.")] = Path(),
) -> None:
    """Draw a record of pooling: bytes against speed, and bars beside the peers'."""
    from cenote.benchmarking.charts import draw
    from cenote.benchmarking.record import read

    for path in draw(read(record), out):
        print(path)


@bench.command()
def pages(
    records: Annotated[list[Path], _RECORDS],
    page: Annotated[list[Path], typer.Option(help="A page with places for tables.")],
) -> None:
    """Write the tables of records into pages, between the marks of their places."""
    from cenote.benchmarking import command

    command.pages(records, page)


@app.command()
def doctor() -> None:
    """Say what this machine has that cenote can use."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    for name, value in cenote.doctor().items():
        shown = ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
        table.add_row(str(name), shown)
    Console(highlight=False).print(table)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"cenote {cenote.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with ``arguments``, by default the process's; returns the exit code."""
    try:
        code = app(args=arguments, standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except Exception as error:
        if os.environ.get("CENOTE_DEBUG") == "1":
            raise
        message = _message(error)
        if isinstance(error, training.ElsewhereError):
            return 2  # the process where it happened says so
        if message:  # a command without its arguments has printed its help
            _complain(message)
        return 2
    return code if isinstance(code, int) else 0


_FOR_PEOPLE = (ValueError, OSError, ArithmeticError, training.WorkerLostError)


def _message(error: Exception) -> str:
    """One line: the message alone where it was written for a person, else with the error's type."""
    format_message = getattr(error, "format_message", None)  # typer's own: a wrong option, say
    text = format_message() if format_message else str(error)
    if isinstance(error, OSError) and error.filename is None and error.strerror:
        text = error.strerror  # ours: a sentence that needs no number in front
    line = " ".join(text.split())
    if format_message or isinstance(error, _FOR_PEOPLE):
        return line
    return f"{type(error).__name__}: {line} (CENOTE_DEBUG=1 shows where)"


def _complain(message: str) -> None:
    sys.stderr.write(f"error: {message}\n")  # at once, where other processes write there too


if __name__ == "__main__":
    sys.exit(main())

"""``cenote bench conv`` and its records: printed, written, read again, and made into pages."""

import random
import re
from pathlib import Path

import pytest
import typer
from rich.console import Console

import bench_records
import commands
from cenote import cli
from cenote.benchmarking import pages, turns
from cenote.benchmarking.convolution import grid, plan, table
from cenote.benchmarking.convolution.grid import TRAINING, Row, rows
from cenote.benchmarking.convolution.pages import TABLES
from cenote.benchmarking.convolution.targets import WANTED, targets
from cenote.benchmarking.peers import Contender
from cenote.benchmarking.record import check, read, write
from conv_records import every, record, row_record

TINY = ("--case", "stage_tiny", "--seconds", "0.0001", "--peer", "torch", "--threads", "1")
SMALL = {"cenote": 0.01, "torch": 0.03, "torch.channels_last": 0.008}
PAGE = Path(__file__).parent.parent / "docs/convolution.md"
RECORDS = sorted(PAGE.parent.parent.glob("benchmarks/results/convolution-*.json"))


def small(case="lenet_first", pass_="forward", **medians):
    return row_record(Row(case, pass_), SMALL | medians)


def call(capsys, *arguments):
    return commands.call(capsys, "bench", *arguments)


def test_a_benchmark_is_printed_and_written(capsys, tmp_path):
    path = tmp_path / "record.json"
    code, out, err = call(capsys, "conv", *TINY, "--out", path)
    assert (code, err) == (0, "")
    made = read(path)
    assert (made["benchmark"], made["complete"]) == ("convolution", True)
    assert made["peers"].keys() == {"cenote", "torch"}
    assert [(r["case"], r["pass"]) for r in made["rows"]] == [
        ("stage_tiny", "forward"), ("stage_tiny", TRAINING),
    ]  # fmt: skip
    assert out.count("stage_tiny ") >= 2
    assert "geometric means" in out
    assert call(capsys, "table", path)[1].count("stage_tiny ") >= 2


def test_the_options_are_those_of_the_plan():
    command = typer.main.get_command(cli.app).commands["bench"].commands["conv"]
    options = {option for parameter in command.params for option in parameter.opts}
    assert options == {
        "--case", "--pass", "--threads", "--peer", "--seconds", "--quick", "--allocator", "--out",
        "--list",
    }  # fmt: skip


def test_list_shows_rows_and_why_and_measures_nothing(capsys, monkeypatch):
    monkeypatch.setattr(plan, "run", None)
    lines = call(capsys, "conv", "--list")[1].splitlines()
    assert [line for line in lines if line.startswith("# ")] == [f"# {b.reason}" for b in grid.GRID]
    assert len([line for line in lines if not line.startswith("# ")]) == len(rows({}))
    assert "lenet_first forward 2 threads: 256x1x28x28, LeNet-5: one channel to 6" in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--case", "nosuch"), "case = 'nosuch': not known; there are depthwise_3x3, "),
        (("--pass", "back"), "pass = 'back': must be one of forward, forward+backward"),
        (("--peer", "onednn"), "peer = 'onednn': must be one of torch, torch.channels_last, "),
        (("--threads", "0"), "threads = 0: must be at least 1"),
        (("--seconds", "0"), "seconds = 0.0: must be above 0"),
        (("--allocator", "big"), "allocator = 'big': must be default or raised"),
    ],
)
def test_wrong_words_are_one_line(capsys, arguments, message):
    assert message in commands.refused(capsys, "bench", "conv", *arguments)


def test_stopping_keeps_what_was_measured(capsys, tmp_path, monkeypatch):
    whole, path = plan.measure, tmp_path / "record.json"
    seen = []

    def measure(row, *rest):
        if seen:
            raise KeyboardInterrupt
        seen.append(row)
        return whole(row, *rest)

    monkeypatch.setattr(plan, "measure", measure)
    code, _, err = call(capsys, "conv", *TINY, "--out", path)
    assert (code, err) == (130, "stopped: what was measured is kept\n")
    made = read(path)
    assert not made["complete"]
    assert len(made["rows"]) == 1


def test_rows_that_do_not_fit_into_memory_are_said(monkeypatch):
    monkeypatch.setattr(plan, "_too_large", lambda row: "needs 20 GB of memory")
    made = plan.run(plan.Plan(case=["stage_tiny"], pass_=["forward"]))
    assert made["rows"] == []
    assert made["left_out"]["stage_tiny forward 2 threads"] == "needs 20 GB of memory"


def test_a_record_comes_back_as_it_was_written(tmp_path):
    made = every(3.0)
    write(made, tmp_path / "record.json")
    assert read(tmp_path / "record.json") == made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.update(benchmark="sorting"), "benchmark 'sorting': must be one of pooling, "),
        (lambda r: r.update(benchmark="pooling"), r"record.rows\[0\]: lacks '(window|reduce|\w+)'"),
        (lambda r: r["rows"][0].pop("macs"), r"record.rows\[0\]: lacks 'macs'"),
        (
            lambda r: r["rows"][0]["contenders"]["torch"].pop("gflops"),
            r"rows\[0\].contenders.torch: lacks 'gflops'",
        ),
    ],
)
def test_what_is_not_of_the_schema_is_refused(change, message):
    made = record([small()])
    change(made)
    with pytest.raises(ValueError, match=message):
        check(made)


def test_charts_are_of_pooling(capsys, tmp_path):
    path = tmp_path / "record.json"
    write(record([small()]), path)
    told = commands.refused(capsys, "bench", "charts", path)
    assert "record: of convolution; records of pooling are drawn" in told


def printed(made):
    console = Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        table.print_record(made, console)
    return console.export_text().splitlines()


def test_the_table_has_a_line_a_row_and_names_what_is_not_good():
    lines = printed(record([small(), small("alexnet_first", torch=0.0096)]))
    assert lines[0].split()[:3] == ["case", "layers", "pass"]
    # 2 * 30105600 multiply-accumulates and 5.6 MB in 10 ms
    assert lines[1].split() == [
        "lenet_first", "1", "to", "6", "5x5", "p2", "fwd", "2", "10.0", "6", "0.6",
        "3.00x", "0.80x", "-", "-", "-",
    ]  # fmt: skip
    assert len(lines[0]) == len(lines[1]) == len(lines[2])
    assert "  forward          2 rows, torch 1.70x (2), ch.last 0.80x (2)" in lines
    assert "a peer is faster in 2 of 2 rows:" in lines
    assert "  alexnet_first fwd: torch 0.96x, torch.channels_last 0.80x" in lines
    assert "left out: onnxruntime: not installed (onnxruntime)" in lines
    assert "left out of 2 rows: openvino: why not" in lines


def reached(made):
    return {target.what: target for target in targets(made)}


def test_every_target_is_of_rows_that_are_measured():
    for wanted in WANTED:
        assert set(wanted.case) <= {row.case for row in rows({})}
    found = targets(every(9.0))
    assert all(target.rows for target in found)
    assert all(target.met for target in found)
    assert not any(target.met for target in targets(record([])))


def test_a_target_is_the_least_of_its_rows():
    made = record([
        small("depthwise_line_9", torch=0.001), small("depthwise_line_31", torch=0.06),
        small("depthwise_line_255", TRAINING, torch=0.049), small("lenet_first", torch=0.01),
        small("lenet_first", TRAINING, torch=0.051),
    ])  # fmt: skip
    found = reached(made)
    long = found["depthwise 1-D, 31 taps and more, against torch"]
    assert (long.reached, long.rows, long.met) == (pytest.approx(4.9), 2, False)
    lenet = found["LeNet conv1, forward+backward, against torch"]
    assert (lenet.reached, lenet.rows, lenet.met) == (pytest.approx(5.1), 1, True)
    worst = found["every row: at most 5 % slower, against torch"]
    assert (worst.reached, worst.rows, worst.met) == (pytest.approx(0.1), 5, False)


def test_channels_last_has_targets_of_its_own():
    found = reached(record([small("vgg_first", torch=0.05)]))
    assert found["VGG conv1_1, forward, against torch"].met
    assert found["VGG conv1_1, forward, against torch.channels_last"].reached == pytest.approx(0.8)


def test_the_raised_allocator_has_bounds_of_its_own():
    rows = [small("line_64_to_64", torch=0.02)]
    what = "conv1d 64 to 64, 3 taps, against torch"
    default, raised = (reached(record(rows, setting))[what] for setting in ("default", "raised"))
    assert (default.wanted, default.met) == (3, False)
    assert (raised.wanted, raised.met) == (1.4, True)


BOTH = "before\n<!-- bench: conv-targets default+raised -->\nold\n<!-- end of bench -->\nafter\n"


def test_tables_of_pages_stand_in_their_places():
    default, raised = every(3.0), every(1.6, "raised")
    once = pages.update(BOTH, [default, raised])
    lines = once.splitlines()
    assert lines[3] == (
        "| times faster | rows | wanted, default | measured, default | wanted, raised "
        "| measured, raised |"
    )
    line = "| conv1d 64 to 64, 3 taps, against torch | 2 | 3 | 3.00 | 1.4 | 1.60 |"
    assert line in lines
    assert "| VGG conv1_1, forward, against torch | 1 | 3 | 3.00 | 3 | **1.60** |" in lines
    assert pages.update(once, [default, raised]) == once
    assert pages.update(BOTH, [default]) == BOTH


def test_records_of_pooling_stay_out_of_the_places_of_convolution():
    text = "<!-- bench: conv-every default -->\n<!-- end of bench -->\n"
    assert pages.update(text, [bench_records.record([])]) == text
    text = "<!-- bench: means default -->\n<!-- end of bench -->\n"
    assert pages.update(text, [every(3.0)]) == text


def test_every_table_is_whole():
    for make in TABLES.values():
        lines = make([every(3.0)]).splitlines()
        if lines[0].startswith("|"):
            assert {line.count("|") for line in lines} == {lines[0].count("|")}
    [line] = [
        line
        for line in TABLES["conv-every"]([record([small()])]).splitlines()
        if line.startswith("| `lenet_first` | 256x1x28x28 | 1 to 6 5x5 p2 | fwd |")
    ]
    assert line.endswith("| 10.0 | 6 | 0.6 | 3.0x | 0.8x | - | - | - |")


def test_the_page_has_places_for_what_is_measured():
    text = PAGE.read_text("utf-8")
    places = re.findall(r"<!-- bench: (\S+) (\S+) -->", text)
    assert {name for name, _ in places} == TABLES.keys()
    assert text.count("<!-- end of bench -->") == len(places)
    assert pages.update(text, [read(path) for path in RECORDS]) == text


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_a_record_is_whole(path):
    made = read(path)
    assert made["complete"]
    assert path.stem == f"convolution-{made['allocator']['setting']}"
    assert {(r["case"], r["pass"]) for r in made["rows"]} == {(r.case, r.pass_) for r in rows({})}
    assert all(f["n"] >= 5 for row in made["rows"] for f in row["contenders"].values())


def test_turns_in_any_order_are_still_turns():
    order = []
    contenders = {
        name: Contender(lambda name=name: order.append(name), tuple) for name in ("a", "b", "c")
    }
    ticking = iter(range(10**6))
    taken = turns.take_turns(
        contenders, 1e-9, clock=lambda: float(next(ticking)), dice=random.Random(0), least=20
    )
    assert [len(t.seconds) for t in taken.values()] == [20, 20, 20]
    rounds = [tuple(order[-60:][i : i + 3]) for i in range(0, 60, 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 3

"""Records of benchmarks: turns, figures, the schema, and all that is made of a record alone."""

import json
import math

import pytest
from rich.console import Console

from bench_records import invented, record, row_record
from cenote.benchmarking import charts, pages, table
from cenote.benchmarking.grid import TRAINING, Row, rows
from cenote.benchmarking.peers import Contender
from cenote.benchmarking.record import check, mean, ours, read, write
from cenote.benchmarking.targets import targets
from cenote.benchmarking.turns import Turns, figures, take_turns

SMALL = {"roof": 1.0, "cenote": 2.0, "cenote out=": 1.25, "torch": 30.0, "onednn": 2.5}


def small(**more):
    """A row whose ratios can be seen at a glance."""
    return row_record(Row("big_2x2_s2", **more), SMALL)


class Clock:
    """Seconds that pass only while a contender works."""

    def __init__(self):
        self.now = 0.0
        self.order = []

    def __call__(self):
        return self.now

    def contender(self, name, seconds, workers="openmp"):
        def call():
            self.order.append(name)
            self.now += seconds

        return Contender(call, tuple, workers=workers)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    clock.pauses = []
    monkeypatch.setattr("time.sleep", clock.pauses.append)
    return clock


def taken(clock, seconds, **contenders):
    return take_turns(
        {n: clock.contender(n, *_tuple(c)) for n, c in contenders.items()}, seconds, clock=clock
    )


def _tuple(given):
    return given if isinstance(given, tuple) else (given,)


def test_contenders_take_turns(clock):
    turns = taken(clock, 0.05, a=0.002, b=0.004)
    assert len(turns["a"].seconds) == len(turns["b"].seconds) >= 5
    assert turns["a"].seconds == pytest.approx([0.002] * len(turns["a"].seconds))
    measured = clock.order[4:]  # two calls of each before, to see how long they take
    assert {tuple(sorted(p)) for p in zip(measured[::2], measured[1::2], strict=True)} == {
        ("a", "b")
    }
    assert measured[:4] == ["a", "b", "b", "a"]  # who begins changes


def test_short_calls_are_repeated_in_a_turn(clock):
    turns = taken(clock, 0.01, quick=1e-5)
    assert turns["quick"].calls == pytest.approx(100, rel=0.05)
    assert turns["quick"].seconds[0] == pytest.approx(1e-5)


def test_everybody_gets_five_turns_however_slow(clock):
    turns = taken(clock, 0.1, quick=0.002, slow=3.0)
    assert len(turns["slow"].seconds) == 5
    assert len(turns["quick"].seconds) == pytest.approx(50, abs=2)


def test_the_seconds_end_the_turns_of_a_row_that_is_slow_as_a_whole(clock):
    turns = taken(clock, 0.1, a=1.0, b=2.0)
    assert [len(t.seconds) for t in turns.values()] == [5, 5]


def test_there_is_a_pause_between_those_who_do_not_share_threads(clock):
    taken(clock, 0.01, a=0.002, b=0.002)
    assert clock.pauses == []
    turns = taken(clock, 0.01, a=0.002, b=(0.002, "others"), c=0.002)
    assert len(clock.pauses) == 2 * len(turns["a"].seconds)


def test_figures_of_turns():
    found = figures(Turns(3, [0.4, 0.1, 0.2, 0.3, 0.5]), moved=6 * 10**9)
    assert found == {
        "n": 5, "calls": 3, "median": 0.3, "min": 0.1, "gbs": pytest.approx(20.0),
        "quartiles": pytest.approx([0.15, 0.45]),
    }  # fmt: skip


def test_the_mean_is_geometric():
    assert mean([2, 8]) == pytest.approx(4)
    assert math.isnan(mean([]))


def test_a_record_comes_back_as_it_was_written(tmp_path):
    made = invented(rows({"case": ["tiny_lenet", "nin_head"]}))
    path = tmp_path / "folder" / "record.json"
    write(made, path)
    assert read(path) == made
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_record_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "record.json"
    write(record([small()]), path)
    before = path.read_bytes()
    with pytest.raises(TypeError, match="not JSON serializable"):
        write(record([small(), object()]), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def broken(change):
    made = record([small()])
    change(made)
    return made


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("schema"), "no record of a benchmark"),
        (lambda r: r.update(schema=99), "schema 99: this version reads 1"),
        (lambda r: r.pop("machine"), "record: lacks 'machine'"),
        (lambda r: r.update(seconds="1"), "record.seconds: '1' where there should be float"),
        (lambda r: r["rows"][0].pop("pass"), r"record.rows\[0\]: lacks 'pass'"),
        (lambda r: r["rows"][0].update(threads=True), r"rows\[0\].threads: True where .* int"),
        (
            lambda r: r["rows"][0]["contenders"]["roof"].update(n=1.5),
            r"record.rows\[0\].contenders.roof.n: 1.5 where there should be int",
        ),
        (
            lambda r: r["rows"][0]["contenders"]["roof"].update(quartiles=[1, None]),
            r"quartiles\[1\]: None where there should be float",
        ),
    ],
)
def test_what_is_not_of_the_schema_is_refused(change, message, tmp_path):
    made = broken(change)
    with pytest.raises(ValueError, match=message):
        check(made)
    path = tmp_path / "record.json"
    path.write_text(json.dumps(made))
    with pytest.raises(ValueError, match=f"{path}: .*{message}"):
        read(path)


def test_who_stands_against_whom():
    row = small()
    assert [ours(row, name) for name in ("torch", "onednn")] == ["cenote", "cenote out="]
    del row["contenders"]["cenote out="]
    assert ours(row, "onednn") == "cenote"


def printed(made, **options):
    console = Console(width=60, record=True, file=open("/dev/null", "w"))  # noqa: PTH123, SIM115
    with console.file:
        table.print_record(made, console, **options)
    return console.export_text().splitlines()


def test_the_table_has_a_line_a_row():
    made = record([small(), small(layout="NHWC")])
    head, first, second, *_ = printed(made)
    assert head.split()[:6] == ["case", "window", "pass", "th", "roof", "ms"]
    assert first.split() == [
        "big_2x2_s2", "2x2", "s2", "max", "NCHW", "fwd", "2", "1000.0", "2000.0", "0.50", "0.80",
        "15.0x", "-", "2.00x", "-", "-",
    ]  # fmt: skip
    assert second.split()[4] == "NHWC"
    assert len(head) == len(first) == len(second)


def test_the_summary_names_what_is_not_good():
    behind = row_record(Row("nin_head"), SMALL | {"cenote": 1.1, "cenote out=": 1.7, "onednn": 1.2})
    near = row_record(Row("vgg_last"), SMALL)
    lines = printed(record([near, behind]), rows=False)
    assert "under 0.7 of the roof: 1 of 2 rows:" in lines
    assert "  nin_head max f32 NCHW fwd 2 threads: 0.59" in lines
    assert "under 0.85 of the roof and not under 0.7: 1 of 2 rows:" in lines
    assert "  vgg_last max f32 NCHW fwd 2 threads: 0.80" in lines
    assert "a peer is faster in 1 of 2 rows:" in lines
    assert "  nin_head max f32 NCHW fwd 2 threads: onednn 0.71x (cenote out=)" in lines
    [means] = [line for line in lines if line.startswith("  max f32 NCHW fwd 2 threads ")]
    assert "torch 20.2x (2)" in means
    assert "fastest peer 1.19x" in means
    assert "left out: openvino: not installed (openvino)" in lines
    assert "left out of 2 rows: onnxruntime: why not" in lines


def test_windows_are_short():
    assert table.compact("3x3, stride 2, dilation 2, padding 1, ceil") == "3x3 s2 d2 p1 ceil"


def reached(made):
    return {target.what: target for target in targets(made)}


def test_targets_are_taken_from_their_rows():
    training = row_record(Row("big_2x2_s2", pass_=TRAINING), {"roof": 1, "cenote": 2, "torch": 20})
    wide = [
        row_record(Row(case), SMALL | {"cenote out=": seconds})
        for case, seconds in (("wide_5x5_s1_p2", 2.0), ("wide_31x31_s1_p15", 4.0))
    ]
    single = row_record(Row("big_2x2_s2", threads=1), {n: 1.9 * s for n, s in SMALL.items()})
    large = row_record(Row("big_3x3_s1_p1"), SMALL)  # an output of 103 MB
    found = reached(record([small(), training, *wide, single, large]))
    by_start = {what[:26]: target for what, target in found.items()}
    assert found["times faster than torch, max f32 NCHW forward, mean"].reached == pytest.approx(15)
    assert found[
        "times faster than torch, max f32 NCHW forward+backward, mean"
    ].reached == pytest.approx(10)
    assert found["time of wide_31x31_s1_p15 by that of kernel 5"].reached == 2
    assert not found["time of wide_31x31_s1_p15 by that of kernel 5"].met
    assert found["time of wide_63x63_s1_p31 by that of kernel 5"].rows == 0
    assert not found["time of wide_63x63_s1_p31 by that of kernel 5"].met
    assert by_start["times faster on 2 threads "].reached == pytest.approx(1.9)
    assert by_start["times faster on 2 threads "].met
    assert by_start["time of fresh outputs of 3"].rows == 1
    assert by_start["time of fresh outputs of 3"].reached == pytest.approx(1.6)
    assert found["least part of the roof, every case, output given"].reached == 0.25


def test_costs_per_element_are_compared_beyond_the_caches():
    sizes = [
        row_record(Row(name), {"roof": 1.0, "cenote": seconds})
        for name, seconds in (("size_1e7", 0.01), ("size_1e8", 0.12), ("size_1e9", 1.1))
    ]
    flat = reached(record(sizes))["cost per element beyond the caches, most by least"]
    assert (flat.reached, flat.rows, flat.met) == (pytest.approx(1.2), 3, True)


def test_tables_of_pages():
    made = record([small(), small(layout="NHWC"), row_record(Row("nin_head"), SMALL)])
    readme = pages.table(made, "readme").splitlines()
    assert readme[0].startswith("| shape | window | torch NCHW fwd | torch NCHW fwd+bwd |")
    assert readme[2] == (
        "| 32x64x112x112 | 2x2 s2 | 15x | - | 15x | - | 2.0x | 2.0x | 0.80 | 0.80 |"
    )
    assert readme[3].startswith("| **geometric mean, all cases** |  | **15x** | - | **15x** |")
    every = pages.table(made, "every").splitlines()
    assert len(every) == 2 + 3
    assert every[2].startswith(
        "| `big_2x2_s2` | 32x64x112x112 | 2x2 s2 | max f32 NCHW fwd | 2 | 1e+03 |"
    )
    for name in pages.TABLES:
        lines = pages.table(made, name).splitlines()
        if lines[0].startswith("|"):
            assert {line.count("|") for line in lines} == {lines[0].count("|")}


PAGE = "before\n<!-- bench: means default -->\nold\n<!-- end of bench -->\nafter\n"


def test_tables_are_written_into_their_places():
    made = record([small()])
    once = pages.update(PAGE, [made])
    assert once == PAGE.replace("old\n", f"\n{pages.table(made, 'means')}\n\n")
    assert pages.update(once, [made]) == once


def test_places_without_a_record_stay_as_they_are():
    assert pages.update(PAGE, [record([small()], "raised")]) == PAGE


def test_places_of_tables_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="table 'meanz': must be one of readme, machine, "):
        pages.update(PAGE.replace("means", "meanz"), [])


@pytest.mark.parametrize("layouts", [("NCHW", "NHWC"), ("NHWC",)])
def test_charts_are_drawn_of_a_record_alone(layouts, tmp_path):
    made = invented(rows({"case": ["vgg_first", "tiny_lenet"], "layout": layouts}))
    paths = charts.draw(made, tmp_path / "charts")
    assert [path.name for path in paths] == ["roofline-default.png", "peers-default.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_the_roofline_shows_the_speeds_of_the_record():
    made = record([small()])
    [axes] = charts.roofline(made).axes
    points = {c.get_label(): c.get_offsets().tolist() for c in axes.collections if c.get_label()}
    moved = made["rows"][0]["bytes"]
    assert points["cenote, output given"] == [[moved, pytest.approx(16)]]
    assert points["cenote, output allocated"] == [[moved, pytest.approx(10)]]
    assert points["fastest peer"] == [[moved, pytest.approx(8)]]
    assert axes.lines[0].get_ydata().tolist() == [pytest.approx(20)]


def test_the_bars_show_the_parts_of_the_roof():
    made = record([small()])
    [axes] = charts.bars(made).axes
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([0.8, 0.4, 1 / 30])
    assert {"0.80", "oneDNN"} <= {text.get_text() for text in axes.texts}


def test_a_record_with_nothing_to_draw_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no row of max forward in f32"):
        charts.draw(record([]), tmp_path)

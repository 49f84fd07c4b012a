"""``cenote bench``: what it measures, prints and writes, and how it refuses."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer

import cenote
import commands
from bench_records import invented
from cenote import cli
from cenote.benchmarking import grid, peers, pooling
from cenote.benchmarking.grid import rows
from cenote.benchmarking.pooling import Plan
from cenote.benchmarking.record import read, write

TINY = ("--case", "tiny_call", "--seconds", "0.0001", "--peer", "torch")


def call(capsys, *arguments):
    return commands.call(capsys, "bench", *arguments)


def refused(capsys, *arguments):
    return commands.refused(capsys, "bench", *arguments)


def test_a_benchmark_is_printed_and_written(capsys, tmp_path):
    path = tmp_path / "record.json"
    code, out, err = call(
        capsys, "pooling", *TINY, "--pass", "forward", "--threads", 1, "--out", path
    )
    assert (code, err) == (0, "")
    made = read(path)
    assert made["complete"]
    assert made["peers"].keys() >= {"cenote", "torch"}
    assert made["machine"]["torch"] == cenote.doctor()["torch"]
    assert made["allocator"] == {"setting": "default", "detail": {}}
    found = [(r["case"], r["layout"], r["pass"], r["threads"]) for r in made["rows"]]
    assert found == [("tiny_call", layout, "forward", 1) for layout in ("NCHW", "NHWC")]
    assert all(row["contenders"]["torch"]["n"] >= 5 for row in made["rows"])
    assert out.count("tiny_call ") >= 2
    assert "geometric means" in out


def test_the_options_are_those_of_the_plan():
    command = typer.main.get_command(cli.app).commands["bench"].commands["pooling"]
    options = {option for parameter in command.params for option in parameter.opts}
    assert options == {
        "--case", "--reduce", "--dtype", "--layout", "--pass", "--threads", "--peer", "--seconds",
        "--quick", "--allocator", "--out", "--list",
    }  # fmt: skip


def test_list_shows_rows_and_why_and_measures_nothing(capsys, monkeypatch):
    monkeypatch.setattr(pooling, "run", None)
    code, out, _ = call(capsys, "pooling", "--list")
    assert code == 0
    lines = out.splitlines()
    assert [line for line in lines if line.startswith("# ")] == [f"# {b.reason}" for b in grid.GRID]
    assert len([line for line in lines if not line.startswith("# ")]) == len(rows({}))
    assert "big_2x2_s2 max f32 NCHW forward 2 threads: 32x64x112x112, the commonest pool" in lines
    _, out, _ = call(capsys, "pooling", "--list", "--case", "nin_head", "--dtype", "u8")
    assert len(out.splitlines()) == 2


def test_without_a_word_there_is_help_and_no_error(capsys):
    code, out, err = call(capsys)
    assert (code, err) == (2, "")
    assert "pooling" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--case", "nosuch"), "case = 'nosuch': not known; there are big_2x2_s2, big_3x3_s1_p1, "),
        (("--dtype", "f64"), "dtype = 'f64': must be one of f32, bf16, u8"),
        (("--pass", "back"), "pass = 'back': must be one of forward, "),
        (("--peer", "caffe", "--case", "tiny_call"), "peer = 'caffe': must be one of torch, "),
        (("--threads", "0"), "threads = 0: must be at least 1"),
        (("--seconds", "0"), "seconds = 0.0: must be above 0"),
        (("--allocator", "big"), "allocator = 'big': must be default or raised"),
    ],
)
def test_wrong_words_are_one_line(capsys, arguments, message):
    assert message in refused(capsys, "pooling", *arguments)


def test_the_raised_allocator_is_asked_for_once_before_anything_else(monkeypatch):
    said = []

    class Told:
        applied, reason, settings = True, "", {"M_MMAP_MAX": 0}

    monkeypatch.setattr(cenote, "tune_allocator", lambda: said.append("tuned") or Told)
    monkeypatch.setattr(peers, "load", lambda names: (said.append("loaded"), ({}, {}))[1])
    monkeypatch.setattr(Plan, "rows", lambda plan: [])
    made = pooling.run(Plan(allocator="raised"))
    assert said == ["tuned", "loaded"]
    assert made["allocator"]["setting"] == "raised"
    assert made["allocator"]["detail"]["settings"] == {"M_MMAP_MAX": 0}


def test_an_allocator_that_cannot_be_raised_is_no_table_of_one(monkeypatch):
    class Told:
        applied, reason, settings = False, "it needs glibc", {}

    monkeypatch.setattr(cenote, "tune_allocator", lambda: Told)
    with pytest.raises(ValueError, match="allocator = 'raised': it needs glibc"):
        pooling.run(Plan(case=["tiny_call"], allocator="raised"))


def test_stopping_keeps_what_was_measured(capsys, tmp_path, monkeypatch):
    whole, path = pooling.measure, tmp_path / "record.json"
    seen = []

    def measure(row, *rest):
        if seen:
            raise KeyboardInterrupt
        seen.append(row)
        return whole(row, *rest)

    monkeypatch.setattr(pooling, "measure", measure)
    code, _, err = call(capsys, "pooling", *TINY, "--out", path)
    assert code == 130
    assert err == "stopped: what was measured is kept\n"
    made = read(path)
    assert not made["complete"]
    assert len(made["rows"]) == 1


def test_rows_that_do_not_fit_into_memory_are_said(monkeypatch):
    monkeypatch.setattr(pooling, "_too_large", lambda row: "needs 20 GB of memory")
    made = pooling.run(Plan(case=["tiny_call"], layout=["NCHW"], threads=[1]))
    assert made["rows"] == []
    assert made["left_out"]["tiny_call max f32 NCHW forward 1 threads"] == "needs 20 GB of memory"


@pytest.mark.skipif(not Path("/proc/meminfo").is_file(), reason="the system does not tell")
def test_how_much_memory_a_row_needs(monkeypatch):
    assert pooling._too_large(grid.Row("tiny_call")) is None
    monkeypatch.setattr(Path, "read_text", lambda path: "MemAvailable:    1000000 kB\n")
    assert pooling._too_large(grid.Row("size_1e9")) == "needs 20 GB of memory"


@pytest.fixture
def stored(tmp_path):
    path = tmp_path / "record.json"
    write(invented(rows({"case": ["vgg_first", "tiny_lenet"]})), path)
    return path


def test_a_stored_record_is_printed_again(capsys, stored):
    code, out, _ = call(capsys, "table", stored)
    assert code == 0
    assert out.count("vgg_first ") >= 6
    assert "targets" in out


def test_a_stored_record_is_drawn(capsys, stored, tmp_path):
    code, out, _ = call(capsys, "charts", stored, "--out", tmp_path / "drawn")
    assert code == 0
    drawn = [Path(line) for line in out.splitlines()]
    assert len(drawn) == 2
    assert all(path.is_file() for path in drawn)


def test_pages_are_filled(capsys, stored, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("<!-- bench: machine default -->\n<!-- end of bench -->\n")
    assert call(capsys, "pages", stored, "--page", page) == (0, f"{page}\n", "")
    assert "Measured on Paper, 2 cores (avx2)" in page.read_text()


def test_what_is_no_record_is_refused(capsys, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({"rows": []}))
    assert "no record of a benchmark" in refused(capsys, "table", path)


def test_importing_the_command_imports_no_peer():
    program = (
        "import sys, cenote.cli\n"
        "print(sorted({'onnxruntime', 'openvino', 'onnx', 'matplotlib'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert out.stdout == "[]\n"

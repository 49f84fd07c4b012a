"""The table of a record: what is in its cells, what it leaves out when it is narrow."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import cenote
from cenote.inspection.rows import rows_of
from cenote.inspection.table import bytes_text, count_text, seconds_text, text_of


@pytest.fixture(scope="module")
def record():
    return cenote.inspect(cenote.models.lenet5(), torch.zeros(1, 1, 28, 28))


def sizes(*lengths):
    return "\N{MULTIPLICATION SIGN}".join(map(str, lengths))


def cells(text, name):
    return next(line for line in text.splitlines() if line.startswith(name)).split()


def test_a_wide_table_has_everything(record):
    text = text_of(record, width=200)
    assert text.splitlines()[0].split() == [
        "layer", "what", "output", "field", "jump", "parameters", "MACs", "FLOPs", "read",
        "written", "kept", "time",
    ]  # fmt: skip
    conv = cells(text, "features.conv2")
    assert conv[:9] == [
        "features.conv2", "conv", "5x5", sizes(1, 16, 10, 10), sizes(14, 14), "2", "2,416", "240",
        "k",
    ]  # fmt: skip
    assert "61,706 parameters, 417 k multiply-accumulates" in text


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_a_narrow_terminal_loses_columns_and_keeps_rows(record, width):
    text = text_of(record, width=width)
    assert all(len(line) <= width for line in text.splitlines())
    head = text.splitlines()[0].split()
    assert head[0] == "layer"
    assert {"output", "field", "MACs"} <= set(head)
    assert sum(line.startswith(("features.", "classifier.")) for line in text.splitlines()) == 12


def test_depth_puts_modules_together(record):
    rows = rows_of(record, depth=1)
    assert [row.name for row in rows] == ["features", "classifier"]
    assert sum(row.total("macs") for row in rows) == record.totals.macs
    assert sum(row.total("parameters") for row in rows) == record.parameters
    assert rows[0].shape == (1, 16, 5, 5)


@pytest.mark.parametrize("by", ["macs", "parameters", "written", "field"])
def test_sorting_puts_the_largest_first(record, by):
    sizes = [row.size(by) for row in rows_of(record, sort=by)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


def test_a_module_of_many_operators_is_one_row():
    model = nn.MultiheadAttention(8, 2, batch_first=True)

    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention = model

        def forward(self, x):
            return self.attention(x, x, x)[0]

    record = cenote.inspect(Whole(), torch.randn(1, 5, 8), spatial=0)
    rows = rows_of(record)
    assert [row.name for row in rows] == ["attention"]
    assert rows[0].title.startswith("MultiheadAttention")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 0}, "depth = 0: must be at least 1"),
        ({"sort": "size"}, "sort = 'size': must be one of parameters, macs"),
    ],
)
def test_mistakes_are_named(record, options, message):
    with pytest.raises(ValueError, match=message):
        record.table(**options)


def test_numbers_have_three_digits_and_a_unit():
    assert [count_text(v) for v in (0, 7, 999, 1000, 9994, 99949, 417e3, 999_600, 15.47e9)] == [
        "0", "7", "999", "1.00 k", "9.99 k", "99.9 k", "417 k", "1.00 M", "15.5 G",
    ]  # fmt: skip
    assert [bytes_text(v) for v in (0, 999, 1000, 18816, None)] == [
        "0 B", "999 B", "1.00 kB", "18.8 kB", "?",
    ]  # fmt: skip
    assert [seconds_text(v) for v in (1.234, 0.0456, 7.89e-6, 1e-7, None)] == [
        "1.23 s", "45.6 ms", "7.89 us", "0.10 us", "?",
    ]  # fmt: skip


def test_what_is_unknown_and_what_is_not_aligned_is_marked():
    class Lopsided(nn.Module):
        def __init__(self):
            super().__init__()
            self.even = cenote.nn.Conv2d(1, 1, 2, padding="same")

        def forward(self, x):
            return torch.cdist(self.even(x) + x, x)

    text = cenote.inspect(Lopsided(), torch.randn(1, 1, 8, 8)).table()
    assert f"{sizes(2, 2)} !" in text
    assert "! branches that meet here are not aligned" in text
    assert "unknown" in text


def test_a_notebook_gets_a_table_of_its_own(record):
    html = record._repr_html_()
    assert html.count("<tr>") == 13
    assert "features.conv1" in html
    named = cenote.inspect(
        nn.Sequential(), torch.zeros(1)
    )  # no operators at all is a table with a head
    assert named._repr_html_().count("<tr>") == 1

    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.add_module("<b>&", nn.ReLU())

        def forward(self, x):
            return self._modules["<b>&"](x)

    html = cenote.inspect(Odd(), torch.zeros(1))._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "<b>" not in html

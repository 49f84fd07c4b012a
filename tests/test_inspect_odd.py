"""Fields where it is easy to be wrong: states, masks, views of other kinds, inference mode."""

from __future__ import annotations

import threading

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import cenote
from oracle.gradients import bounds


class Does(nn.Module):
    """A function as a network."""

    def __init__(self, does, *layers):
        super().__init__()
        self.does = does
        self.layers = nn.ModuleList(layers)

    def forward(self, *inputs):
        return self.does(*self.layers, *inputs)


def reached(network, x, unit):
    """The positions along the last axis in which a NaN reaches a unit."""
    found = []
    with torch.no_grad():
        for place in range(x.shape[-1]):
            spoilt = x.clone()
            spoilt[..., place] = float("nan")
            out = network(spoilt)
            lead = (slice(None),) * (out.dim() - len(unit))
            found.append(bool(out[(*lead, *unit)].isnan().any()))
    return torch.tensor(found)


def check(network, x, units, **options):
    network.eval()
    record = cenote.inspect(network, x, **options)
    assert record.error is None, record.error
    last = record.operators[-1]
    for unit in units:
        true = reached(network, x, unit).numpy()
        box = last.field.box(unit)
        assert (None if box is None else box[-1]) == (bounds(true) or (None,))[0], unit
    return record


def test_states_of_a_recurrent_layer_saw_all_steps():
    layer = nn.LSTM(3, 4, batch_first=True)
    last_state = Does(lambda lstm, x: lstm(x.transpose(1, 2))[1][0][-1], layer)
    check(last_state, torch.randn(1, 3, 6), [(0,), (3,)])
    both = nn.LSTM(3, 4, batch_first=True), nn.LSTM(3, 4, batch_first=True)
    decoder = Does(
        lambda a, b, x: b(x.transpose(1, 2), a(x.transpose(1, 2))[1])[0].transpose(1, 2), *both
    )
    check(decoder, torch.randn(1, 3, 6), [(0,), (5,)])


def test_a_gated_unit_is_known():
    layer = nn.GRU(3, 4, batch_first=True)
    steps = Does(lambda gru, x: gru(x.transpose(1, 2))[0].transpose(1, 2), layer)
    check(steps, torch.randn(1, 3, 5), [(0,), (2,), (4,)])


def test_real_parts_of_complex_numbers():
    rows = Does(lambda x: torch.fft.fft(x, dim=-2).real)
    record = cenote.inspect(rows, torch.randn(1, 1, 5, 7))
    assert record.operators[-1].field.box((2, 3)) == ((0, 5), (3, 4))
    assert "everything" not in str(record).splitlines()[1]
    there = Does(lambda x: torch.view_as_complex(torch.stack([x, x * 2], -1)).abs())
    assert cenote.inspect(there, torch.randn(1, 1, 5)).operators[-1].field.box((3,)) == ((3, 4),)


def test_a_mask_that_is_an_input_is_seen():
    def attend(x, mask):
        tokens = x.flatten(2).transpose(1, 2)
        return F.scaled_dot_product_attention(tokens, tokens, tokens, attn_mask=mask)

    record = cenote.inspect(Does(attend), torch.randn(1, 4, 6), torch.randn(1, 6, 6))
    last = record.operators[-1]
    assert set(last.fields) == {0, 1}
    assert record.taps(last.index, (2, 0), input=1).any()


def test_groups_over_a_dimension_that_counts_as_spatial():
    record = cenote.inspect(nn.Conv1d(4, 4, 3, groups=2), torch.randn(1, 4, 9), spatial=2)
    channels, length = record.operators[0].field.axes
    assert (channels.size, length.size) == (2, 3)
    assert channels.rule is None or channels.rule.size == 2


def test_a_slice_that_begins_before_the_start():
    record = cenote.inspect(Does(lambda x: x[..., -100:]), torch.randn(1, 1, 12))
    assert record.operators[-1].field.offsets == (0,)


def test_strides_of_ones_own_are_unknown():
    record = cenote.inspect(
        Does(lambda x: x.transpose(-1, -2).as_strided((1, 1, 4, 5), (20, 20, 5, 1)) * 1),
        torch.randn(1, 1, 4, 5),
    )
    assert record.operators[-1].field is None
    assert record.operators[-1].unknown == "as_strided"


def test_what_python_read_is_said_not_to_be_followed():
    record = cenote.inspect(Does(lambda x: x * x.mean().item()), torch.randn(1, 1, 5))
    assert any("read into Python" in note for note in record.notes)
    assert not any("unknown" in note for note in record.notes)


def test_inference_mode_inside_a_network_changes_nothing():
    def plain(conv, x):
        return F.interpolate(conv(x), scale_factor=1.7, mode="nearest")

    def inside(conv, x):
        with torch.inference_mode():
            return F.interpolate(conv(x), scale_factor=1.7, mode="nearest")

    conv, x = nn.Conv1d(1, 1, 3), torch.randn(1, 1, 11)
    one, other = (cenote.inspect(Does(does, conv), x) for does in (plain, inside))
    a, b = (record.operators[-1].field for record in (one, other))
    units = range(one.operators[-1].shape[-1])
    assert [a.box((unit,)) for unit in units] == [b.box((unit,)) for unit in units]

    def weighs(x):
        with torch.inference_mode():
            return F.linear(x[..., :1].expand(1, 1, 4), x.reshape(1, -1)[:, :4])

    record = cenote.inspect(Does(weighs), torch.randn(1, 1, 8))
    assert record.operators[-1].field.box((0, 0)) == ((0, 4),)


def test_sums_so_far_of_what_sees_nothing():
    def sums(x):
        rows = torch.cat([F.pad(x, (0, 0, 1, 0))[..., :1, :], x.roll(1, -1)], -2)
        return rows.cumsum(-2)

    record = cenote.inspect(Does(sums), torch.randn(1, 1, 2, 4))
    assert record.operators[-1].field.box((1, 0)) == ((0, 1), (3, 4))


def test_a_u_net_is_aligned():
    def join(down, up, x):
        y = F.max_pool2d(down(x), 2)
        return torch.cat([up(y), x], 1) + F.interpolate(y, scale_factor=2, mode="bilinear").mean()

    net = Does(join, nn.Conv2d(1, 2, 3, padding=1), nn.ConvTranspose2d(2, 2, 2, 2))
    record = cenote.inspect(net, torch.randn(1, 1, 24, 24))
    joined = next(o for o in record.operators if o.kind == "cat")
    assert joined.field.aligned
    assert "misaligned" not in {a.kind for a in cenote.inspection.advise(record)}
    for up, aligned in (
        (nn.ConvTranspose2d(2, 2, 4, 2, 1), True),
        (nn.ConvTranspose2d(2, 2, 3, 2, 1, 1), False),
    ):
        other = Does(join, nn.Conv2d(1, 2, 3, padding=1), up)
        operators = cenote.inspect(other, torch.randn(1, 1, 24, 24)).operators
        assert next(o for o in operators if o.kind == "cat").field.aligned is aligned


def test_other_threads_do_not_spoil_a_record():
    model, x = cenote.models.lenet5().eval(), torch.randn(1, 1, 28, 28)
    expected = [(o.name, o.kind) for o in cenote.inspect(model, x).operators]
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            model(x)

    other = threading.Thread(target=disturb)
    other.start()
    found = []
    watchers = [
        threading.Thread(target=lambda: found.append(cenote.inspect(model, x))) for _ in range(6)
    ]
    for watcher in watchers:
        watcher.start()
    for watcher in watchers:
        watcher.join()
    stop.set()
    other.join()
    assert len(found) == 6
    for record in found:
        assert [(o.name, o.kind) for o in record.operators] == expected


@pytest.mark.parametrize("shape", [(1, 1, 6), (1, 3, 6)])
def test_several_inputs_show_in_the_table(shape):
    layers = nn.Conv1d(shape[1], 1, 3, padding=1), nn.Conv1d(shape[1], 1, 5, padding=2)
    net = Does(lambda a, b, x, y: a(x) + b(y), *layers)
    record = cenote.inspect(net, torch.randn(shape), torch.randn(shape))
    assert "3 & 5" in str(record)

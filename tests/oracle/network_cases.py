"""Small networks, each there for one reason, which is its name."""

from oracle.networks import Network, Step


def step(name, **given):
    return Step(name, given)


def conv(out, kernel, n=1, stride=1, pads=0, dilation=1, groups=1, mode="zeros", house="torch"):
    return step("Conv",
        out=out, kernel=(kernel,) * n, stride=(stride,) * n, pads=((pads, pads),) * n,
        dilation=(dilation,) * n, groups=groups, mode=mode, house=house,
    )  # fmt: skip


def transposed(kernel, stride, padding=0, more=0, dilation=1):
    return step("ConvTranspose",
        out=1, kernel=(kernel,), stride=(stride,), padding=(padding,), more=(more,),
        dilation=(dilation,), groups=1, house="torch",
    )  # fmt: skip


def pooled(kind, kernel, stride, pads=0, dilation=1, ceil=False, house="cenote"):
    pads = pads if pads == "same" else ((pads, pads),)
    return step("Pool", kind=kind, kernel=(kernel,), stride=(stride,), pads=pads,
                             dilation=(dilation,), ceil=ceil, house=house)  # fmt: skip


def padded(*pads, mode="constant"):
    return step("Pad", pads=pads, mode=mode)


def branches(join, *parts, axis=0):
    return step("Branches", parts=[list(part) for part in parts], join=join, axis=axis)


CASES = {
    "pad_after_valid_convolution_sees_less_than_the_triple_says": Network(
        (1, 9), [conv(1, 3), padded((2, 2)), conv(1, 3)]
    ),
    "cut_and_padded_again_the_ends_are_gone": Network(
        (1, 9), [padded((-2, -3)), padded((3, 2)), conv(1, 5, pads=2)]
    ),
    "dilation_leaves_holes": Network((1, 21), [conv(1, 3, dilation=3), conv(1, 2, dilation=2)]),
    "holes_that_a_second_stride_steps_over": Network(
        (1, 23), [conv(1, 2, stride=3), conv(1, 2, stride=2), conv(1, 2, dilation=2)]
    ),
    "padding_that_no_window_needs_sees_nothing": Network((1, 9), [conv(1, 2, pads=5)]),
    "nothing_seen_is_not_an_interval_at_zero": Network(
        (1, 9), [conv(1, 2, pads=5), conv(1, 3, stride=2)]
    ),
    "transposed_convolution_sees_in_turns": Network((1, 9), [transposed(3, 2, 1, 1)]),
    "transposed_convolution_with_gaps_sees_nothing_there": Network((1, 9), [transposed(2, 3)]),
    "transposed_dilation_and_stride_share_a_factor": Network(
        (1, 9), [transposed(3, 2, 1, 0, 2), conv(1, 2)]
    ),
    "down_and_up_again_is_periodic": Network(
        (1, 24), [conv(1, 3, stride=2, pads=1), transposed(4, 2, 1), conv(1, 3, pads=1)]
    ),
    "up_by_three_and_down_by_two": Network(
        (1, 12), [step("Resize", mode="nearest", scale_factor=(3.0,)), conv(1, 2, stride=2)]
    ),
    "nearest_by_an_odd_ratio": Network((1, 10), [step("Resize", mode="nearest", size=(7,))]),
    "linear_on_grid_points": Network(
        (1, 5), [step("Resize", mode="linear", size=(9,), align_corners=True), conv(1, 2)]
    ),
    "smoothed_bicubic_upwards": Network(
        (1, 3, 3),
        [step("Resize", mode="bicubic", size=(8, 4), align_corners=False, antialias=True)],
    ),
    "linear_by_two": Network((1, 9), [step("Resize", mode="linear", scale_factor=(2.0,))]),
    "circular_padding_sees_both_ends": Network((1, 11), [conv(1, 5, pads=2, mode="circular")]),
    "circular_padding_ends_the_network": Network((1, 5), [padded((1, 3), mode="circular")]),
    "reflected_padding_sees_the_same_again": Network((1, 11), [conv(1, 5, pads=4, mode="reflect")]),
    "replicated_padding_sees_the_last_element": Network(
        (1, 11), [padded((4, 4), mode="replicate"), conv(1, 3)]
    ),
    "the_last_window_hangs_over_the_end": Network((1, 10), [pooled("max", 3, 3, 1, ceil=True)]),
    "same_padding_depends_on_the_length": Network(
        (1, 10), [pooled("max", 3, 2, "same"), pooled("avg", 3, 2, "same")]
    ),
    "minimum_with_dilation": Network((1, 12), [pooled("min", 3, 2, 2, 2)]),
    "adaptive_windows_of_two_lengths": Network(
        (1, 10), [step("Adaptive", kind="avg", outputs=(4,), house="torch"), conv(1, 2)]
    ),
    "more_adaptive_outputs_than_inputs": Network(
        (1, 5), [step("Adaptive", kind="max", outputs=(8,), house="torch")]
    ),
    "turned_around_it_counts_backwards": Network(
        (1, 10), [step("Slice", cuts=((1, 9, -2),)), conv(1, 2)]
    ),
    "rolled_it_wraps": Network((1, 10), [step("Along", kind="roll", axis=1, shifts=3), conv(1, 3)]),
    "every_second_element": Network((1, 13), [step("Slice", cuts=((1, 12, 2),)), conv(1, 3)]),
    "put_side_by_side_in_space": Network(
        (1, 9), [branches("cat", [conv(1, 3)], [conv(1, 2, stride=2)], axis=1), conv(1, 3)]
    ),
    "channels_of_different_branches": Network(
        (1, 9), [branches("cat", [conv(1, 1)], [conv(1, 5, pads=2)])]
    ),
    "depthwise_keeps_branches_apart": Network(
        (1, 9), [branches("cat", [conv(1, 1)], [conv(1, 5, pads=2)]), conv(2, 3, groups=2)]
    ),
    "one_channel_is_taken_out_again": Network(
        (1, 9),
        [
            branches("cat", [conv(1, 1)], [conv(1, 5, pads=2)]),
            step("Reshape", to=(1, 2, 9)),
            step("Select", axis=1, index=1),
        ],
    ),
    "shuffled_channels_of_different_branches": Network(
        (2, 9),
        [
            branches("cat", [conv(2, 1)], [conv(2, 5, pads=2)]),
            step("Shuffle", kind="channel", factor=2),
            conv(2, 1, groups=2),
        ],
    ),
    "branches_that_are_not_aligned": Network(
        (1, 12), [branches("add", [conv(1, 2)], [conv(1, 5)], [])]
    ),
    "branches_of_different_stride_drift_apart": Network(
        (1, 20), [branches("add", [conv(1, 3, stride=2)], [conv(1, 3)]), conv(1, 2)]
    ),
    "a_branch_that_sees_nothing_there_adds_nothing": Network(
        (1, 9, 2), [branches("add", [], [padded((3, 4), (1, 0))])]
    ),
    "gated_by_the_whole": Network(
        (2, 9), [branches("mul", [], [step("Adaptive", kind="avg", outputs=(1,), house="torch")])]
    ),
    "rows_one_after_the_other": Network((1, 4, 5), [step("Reshape", to=(1, 20)), conv(1, 3)]),
    "rows_become_channels": Network((1, 4, 5), [step("Reshape", to=(4, 5)), conv(2, 3)]),
    "rows_become_channels_in_groups": Network(
        (1, 4, 5), [step("Reshape", to=(4, 5)), conv(2, 3, groups=2)]
    ),
    "height_and_width_change_places": Network(
        (1, 5, 8), [step("Permute", order=(0, 2, 1)), conv(1, 3, 2, stride=2)]
    ),
    "space_becomes_channels": Network(
        (1, 6, 8), [step("Shuffle", kind="unpixel", factor=2), conv(4, 2, 2)]
    ),
    "channels_become_space": Network(
        (4, 4, 5), [conv(4, 2, 2), step("Shuffle", kind="pixel", factor=2), conv(1, 2, 2)]
    ),
    "group_norm_sees_everything": Network((2, 9), [step("Norm", kind="group", groups=2)]),
    "instance_norm_keeps_channels_apart": Network(
        (1, 9),
        [branches("cat", [padded((-4, 4))], [padded((4, -4))]), step("Norm", kind="instance")],
    ),
    "layer_norm_over_channels_sees_one_position": Network((2, 9), [step("Norm", kind="channels")]),
    "layer_norm_over_width_sees_the_row": Network((2, 4, 5), [step("Norm", kind="last")]),
    "linear_over_width_sees_the_row": Network((2, 4, 5), [step("Linear", out=3), conv(1, 2, 2)]),
    "dense_sees_everything": Network((1, 4, 5), [conv(1, 2, 2), step("Dense", to=(1, 2, 2))]),
    "attention_sees_everything": Network((2, 9), [step("Attention", kind="function"), conv(1, 2)]),
    "attention_module_sees_everything": Network((2, 9), [step("Attention", kind="module")]),
    "attention_on_what_a_crop_left": Network(
        (2, 9), [padded((-2, -3)), step("Attention", kind="function")]
    ),
    "fourier_sees_everything": Network((1, 4, 6), [step("Fourier")]),
    "unfolded_and_folded_back": Network(
        (1, 6, 7),
        [step("Unfold", kernel=(2, 3), dilation=(1, 1), padding=(1, 0), stride=(2, 1), back=True)],
    ),
    "unfolded_columns_are_windows": Network(
        (1, 6, 7),
        [step("Unfold", kernel=(2, 3), dilation=(2, 1), padding=(0, 1), stride=(2, 1), back=False)],
    ),
    "sums_so_far_see_all_before": Network(
        (1, 9), [step("Along", kind="cumsum", axis=1), conv(1, 2)]
    ),
    "softmax_sees_its_axis": Network((1, 4, 5), [step("Along", kind="softmax", axis=2)]),
    "mean_over_height_leaves_width": Network(
        (1, 4, 9), [conv(1, 2, 2), step("Along", kind="mean", axis=1, keepdim=False), conv(1, 3)]
    ),
    "in_place_activations_change_nothing": Network(
        (1, 9), [conv(1, 3), step("Activation", kind="relu", inplace=True), conv(1, 3)]
    ),
    "one_module_called_twice": Network((2, 15), [step("Twice", kernel=3, dilation=2)]),
    "three_axes_each_for_itself": Network(
        (1, 5, 6, 7),
        [
            step(
                "Conv",
                out=1,
                kernel=(1, 2, 3),
                stride=(1, 2, 1),
                pads=((0, 0), (1, 0), (0, 2)),
                dilation=(1, 1, 2),
                groups=1,
                mode="zeros",
                house="cenote",
            )
        ],
    ),
}

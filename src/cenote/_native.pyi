openmp: bool
sanitized: bool

Sizes = tuple[int, int, int, int]

def all_targets() -> list[str]: ...
def targets() -> list[str]: ...
def default_threads() -> int: ...
def window_out(axis: list[int], n: int) -> int: ...
def window_inputs(axis: list[int], n: int, o: int) -> list[int]: ...
def window_readers(axis: list[int], n: int, i: int) -> list[int]: ...
def window_divisor(axis: list[int], n: int, o: int, padded: bool) -> int: ...

class Call:
    def __init__(self, isa: str, threads: int) -> None: ...

class Pool:
    def __init__(
        self,
        window: list[int],
        ends: list[list[int]],
        n: list[int],
        inner: int,
        type: str,
        tap_bytes: int,
    ) -> None: ...
    @staticmethod
    def linear(
        window: list[int],
        ends: list[list[int]],
        n: list[int],
        inner: int,
        type: str,
        count_include_pad: bool,
        divisor_override: int | None,
        rounding: str,
        map: str,
        p: float,
        floor: float,
        weights: list[list[float]],
    ) -> Pool: ...
    @property
    def out(self) -> list[int]: ...
    def select(
        self, call: Call, reduce: str, outer: int, input: int, output: int, taps: int
    ) -> None: ...
    def select_backward(self, call: Call, outer: int, grad: int, taps: int, to: int) -> None: ...
    def pick(self, call: Call, outer: int, input: int, taps: int, output: int) -> None: ...
    def indices(self, call: Call, outer: int, taps: int, output: int) -> None: ...
    def sum(self, call: Call, outer: int, input: int, output: int) -> None: ...
    def sum_backward(self, call: Call, outer: int, grad: int, to: int) -> None: ...

def convolve(
    call: Call, type: str, flat: list[int], x: int, weight: int, bias: int, y: int
) -> None: ...
def convolution_gradient(
    call: Call, type: str, flat: list[int], x: int, given: int, weight: int, bias: int
) -> None: ...
def stage(
    call: Call,
    type: str,
    flat: list[int],
    x: int,
    weight: int,
    bias: int,
    y: int,
    taps: int,
) -> None: ...
def stage_gradient(
    call: Call,
    type: str,
    flat: list[int],
    x: int,
    weight: int,
    given: int,
    taps: int,
    input_gradient: int,
    weight_gradient: int,
    bias_gradient: int,
) -> None: ...
def pointwise(
    call: Call,
    what: tuple[int, int, int, int, tuple[float, float]],
    pixels: int,
    x: tuple[int, int],
    other: tuple[int, int],
    y: tuple[int, int],
) -> None: ...
def separable(
    call: Call,
    flat: list[int],
    first: tuple[int, int, int, int, tuple[float, float]],
    taps: tuple[int, int, int, int, tuple[float, float]],
    last: tuple[int, int, int, int, tuple[float, float]],
    x: tuple[int, int],
    other: tuple[int, int],
    y: tuple[int, int],
) -> None: ...
def interleave(
    call: Call,
    pixels: int,
    channels: int,
    first: tuple[int, int],
    second: tuple[int, int],
    y: tuple[int, int],
) -> None: ...
def winograd_filters(
    call: Call, sizes: Sizes, strides: Sizes, weight: int, packed: int
) -> None: ...
def winograd(
    call: Call,
    flat: list[int],
    x: int,
    filters: int,
    bias: int,
    other: int,
    positive: bool,
    y: int,
    pitch: int,
) -> None: ...
def winograd_gradient(
    call: Call, flat: list[int], x: int, given: int, strides: Sizes, weight: int
) -> None: ...
def norm(
    call: Call,
    rows: int,
    channels: int,
    all: list[int],
    cut: tuple[float, float],
    eps: float,
    momentum: float,
    running_mean: int,
    running_var: int,
    y: int,
) -> None: ...
def norm_again(
    call: Call, rows: int, channels: int, all: list[int], cut: tuple[float, float], y: int
) -> None: ...
def norm_parts(
    call: Call,
    rows: int,
    parts: list[int],
    sizes: list[int],
    of: list[int],
    cut: tuple[float, float],
    eps: float,
    y: int,
) -> None: ...
def norm_back(
    call: Call,
    rows: int,
    channels: int,
    all: list[int],
    cut: tuple[float, float],
    y: int,
    given: int,
    to: list[int],
) -> None: ...
def glimpse(from_: int, bytes: int) -> int: ...
def images_at_once(call: Call, type: str) -> int: ...
def log_sum_exp(
    pool: Pool, call: Call, outer: int, sharpness: float, x: int, y: int, given: int, to: int
) -> None: ...
def log_sum_exp_backward(
    pool: Pool, call: Call, outer: int, sharpness: float, x: int, y: int, given: int, to: int
) -> None: ...
def log_sum_exp_shares(
    pool: Pool, call: Call, outer: int, sharpness: float, x: int, y: int, given: int, to: int
) -> None: ...
def first_stray(sizes: Sizes, indices: int) -> int: ...
def take_places(
    call: Call, sizes: Sizes, bytes: int, input: int, indices: int, output: int
) -> None: ...
def put_places(
    call: Call, sizes: Sizes, bytes: int, input: int, indices: int, output: int
) -> None: ...
def add_places(
    call: Call, sizes: Sizes, type: str, input: int, indices: int, output: int
) -> None: ...
def fractional_places(
    call: Call,
    n: list[int],
    out: list[int],
    kernel: list[int],
    starts: list[int],
    type: str,
    outer: int,
    input: int,
    indices: int,
) -> None: ...
def roof(
    call: Call, input: int, input_bytes: int, output: int, output_bytes: int, streams: bool
) -> None: ...

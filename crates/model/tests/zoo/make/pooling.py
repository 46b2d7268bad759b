"""Maximum and average pools, and the global ones."""

from .net import case


def pooled(name, why, shape, features, pool, opset=13, channels=2, **settings):
    """Registers a pool of a convolution's output and a last layer; `shape` is the pool's input without channels."""

    def build(g):
        kernel = (1,) * len(shape)
        return g.head(pool(g, g.conv(g.input, channels, channels, kernel=kernel)), features * channels)

    build.__name__ = name
    case(why, (channels, *shape), opset=opset, **settings)(build)


def op(kind, **attributes):
    return lambda g, x: g.op(kind, x, **attributes)


pooled("max_pool", "2x2 windows side by side", (4, 6), 6, op("MaxPool", kernel_shape=[2, 2], strides=[2, 2]))
pooled(
    "max_pool_overlapping",
    "3x3 windows, stride 2",
    (7, 7),
    9,
    op("MaxPool", kernel_shape=[3, 3], strides=[2, 2]),
    opset=8,
)
pooled("max_pool_default_stride", "stride left at 1", (4, 5), 12, op("MaxPool", kernel_shape=[2, 2]), opset=7)
pooled(
    "max_pool_ceil",
    "the last window may hang over the edge",
    (6, 8),
    12,
    op("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
    opset=10,
)
pooled(
    "max_pool_pads",
    "pads differ by side and never win",
    (5, 5),
    9,
    op("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 2]),
)
pooled(
    "max_pool_rectangular",
    "kernel and strides differ by axis",
    (5, 6),
    9,
    op("MaxPool", kernel_shape=[1, 2], strides=[2, 2]),
)
pooled(
    "max_pool_same", "SAME_UPPER", (5, 5), 9, op("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")
)
pooled(
    "max_pool_same_lower",
    "SAME_LOWER, uneven",
    (6, 6),
    9,
    op("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
)
pooled(
    "max_pool_dilation",
    "dilated windows",
    (6, 6),
    16,
    op("MaxPool", kernel_shape=[2, 2], dilations=[2, 2]),
    may_refuse=["MaxPool", "dilation"],
)
pooled(
    "max_pool_unused_indices",
    "a second output that nobody reads",
    (4, 4),
    4,
    lambda g, x: g.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], outputs=2)[0],
)
pooled("max_pool_1d", "one dimension", (9,), 4, op("MaxPool", kernel_shape=[3], strides=[2]))
pooled("average_pool", "2x2 windows side by side", (4, 6), 6, op("AveragePool", kernel_shape=[2, 2], strides=[2, 2]))
pooled(
    "average_pool_pads_excluded",
    "pads are not counted: the default",
    (5, 5),
    9,
    op("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    opset=11,
)
pooled(
    "average_pool_pads_counted",
    "pads are counted as zeros: PyTorch's default",
    (5, 5),
    9,
    op("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1),
    opset=11,
)
pooled(
    "average_pool_asymmetric_pads",
    "pads differ by side",
    (5, 5),
    9,
    op("AveragePool", kernel_shape=[3, 2], strides=[2, 2], pads=[0, 1, 2, 0]),
)
pooled(
    "average_pool_ceil",
    "the last window holds fewer values",
    (6, 6),
    9,
    op("AveragePool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1),
)
pooled(
    "average_pool_ceil_counted",
    "the last window is cut at the edge of the pads, and they are counted",
    (6, 6),
    16,
    op("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1, count_include_pad=1),
    opset=19,
)
pooled(
    "average_pool_same",
    "SAME_UPPER",
    (6, 5),
    9,
    op("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
)
pooled("average_pool_1d", "one dimension", (8,), 4, op("AveragePool", kernel_shape=[2], strides=[2]))
pooled("global_average_pool", "one mean per channel", (4, 5), 1, op("GlobalAveragePool"), channels=3)
pooled("global_max_pool", "one maximum per channel", (4, 5), 1, op("GlobalMaxPool"), channels=3)
pooled("global_average_pool_1d", "over a sequence", (6,), 1, op("GlobalAveragePool"), channels=3)
pooled(
    "mean_as_global_pool",
    "ReduceMean over both image axes",
    (4, 5),
    1,
    op("ReduceMean", axes=[2, 3], keepdims=0),
    channels=3,
)
pooled(
    "mean_as_global_pool_opset18",
    "axes as an input, negative, kept",
    (4, 5),
    1,
    lambda g, x: g.op("ReduceMean", x, g.ints(-1, -2), keepdims=1),
    opset=18,
    channels=3,
)


@case("the outputs are means over positions of a convolution (SqueezeNet)", (2, 5, 5), opset=13)
def pool_is_the_head(g):
    h = g.op("GlobalAveragePool", g.op("Relu", g.conv(g.input, 4, 2)))
    return g.op("Flatten", h, axis=1)


@case("the outputs keep their axes of length one", (2, 5, 5), opset=13)
def pool_output_of_four_axes(g):
    return g.op("GlobalAveragePool", g.op("Relu", g.conv(g.input, 4, 2)))

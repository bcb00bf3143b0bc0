"""A kernel or pooling window over an image: placed as TensorFlow does, or with padding that was folded into it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rena_kws.firmware.fold_padding import EXPLICIT
from rena_kws.firmware.graph import Tensor

if TYPE_CHECKING:
    from rena_kws.firmware.operands import Operands


@dataclass(frozen=True)
class Window:
    """A kernel or pooling window over an image: all fields by (height, width)."""

    size: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    image: tuple[int, int]
    output: tuple[int, int]
    pad: tuple[int, int]

    @property
    def reach(self) -> tuple[int, int]:
        """Pixels from the first tap to the last, both included."""
        height, width = ((self.size[i] - 1) * self.dilation[i] + 1 for i in (0, 1))
        return height, width

    def first_read(self, output_row: int) -> int:
        """The first row of the image that an output row reads, and with it all after that."""
        return max(0, output_row * self.stride[0] - self.pad[0])

    def rows_read(self, output_rows: int) -> int:
        """How many rows of the image, from its first on, hold all that the first `output_rows` rows read."""
        return min(self.image[0], (output_rows - 1) * self.stride[0] - self.pad[0] + self.reach[0])

    def band(self, first: int, end: int) -> Window:
        """The window that computes the output rows [first, end), over the rows of the image that these read."""
        top = self.first_read(first)
        return replace(
            self,
            image=(self.rows_read(end) - top, self.image[1]),
            output=(end - first, self.output[1]),
            pad=(top - first * self.stride[0] + self.pad[0], self.pad[1]),
        )

    def fields(self) -> dict[str, int]:
        """The members of kws_window."""
        pairs = {
            "": self.size,
            "stride_": self.stride,
            "dilation_": self.dilation,
            "input_": self.image,
            "output_": self.output,
        }
        members = {
            f"{name}{axis}": pair[i] for name, pair in pairs.items() for i, axis in enumerate(("height", "width"))
        }
        return members | {"pad_top": self.pad[0], "pad_left": self.pad[1]}


def window_over(op: Operands, size: tuple[int, int], dilation: tuple[int, int], x: Tensor, out: Tensor) -> Window:
    """The window's placement as TensorFlow defines SAME and VALID, and as `fold_padding` leaves it; checks the output's
    height and width."""
    padding = op.op.options.get("padding")
    image, result = op.nhwc(x)[1:3], op.nhwc(out)[1:3]
    stride = op.option("strideH"), op.option("strideW")
    reach = tuple((size[i] - 1) * dilation[i] + 1 for i in (0, 1))
    if padding == "SAME":
        expected = tuple(-(-image[i] // stride[i]) for i in (0, 1))
        pad = tuple(max(0, (expected[i] - 1) * stride[i] + reach[i] - image[i]) // 2 for i in (0, 1))
    elif padding in ("VALID", EXPLICIT):
        left, right = (int(op.op.options.get(name, 0)) for name in ("padLeft", "padRight"))
        padded = image[0], image[1] + left + right
        expected, pad = tuple((padded[i] - reach[i]) // stride[i] + 1 for i in (0, 1)), (0, left)
    else:
        raise op.error(f"padding {padding}; supported are SAME and VALID")
    if expected != result:
        raise op.error(f"tensor {out.label} is {result} pixels; {expected} were expected")
    return Window(size, stride, dilation, image, result, (pad[0], pad[1]))


def dilation_of(op: Operands) -> tuple[int, int]:
    return op.option("dilationHFactor"), op.option("dilationWFactor")

"""Reads the checkpoints of the authors' MAE and MW-MAE code (JAX), which flax wrote as one msgpack file.

Nothing of such a file is executed: it holds maps, lists, numbers, texts and bytes. An array is an extension of type 1, whose
bytes are msgpack again: (shape, name of the dtype, values); one above 2**30 bytes is a map with its shape and its pieces.
"""

import math
import mmap
import re
import struct
from pathlib import Path

import torch

ARRAY = 1  # the extension type
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}
CHUNKED = "__msgpack_chunked_array__"
MOST_NESTED = 64
NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q",
           0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
SIZED = {  # what the byte begins, and how its length is written
    0xC4: ("bytes", ">B"), 0xC5: ("bytes", ">H"), 0xC6: ("bytes", ">I"),
    0xC7: ("extension", ">B"), 0xC8: ("extension", ">H"), 0xC9: ("extension", ">I"),
    0xD9: ("text", ">B"), 0xDA: ("text", ">H"), 0xDB: ("text", ">I"),
    0xDC: ("list", ">H"), 0xDD: ("list", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I"),
}
# A tensor's path in `params` → its name here, part by part.
NAMES = [
    (r"^encoder_block_0*(\d+)/", r"blocks.\1."), (r"^decoder_block_0*(\d+)/", r"decoder_blocks.\1."),
    (r"\bLayerNorm_0\b", "norm1"), (r"\bLayerNorm_1\b", "norm2"),
    (r"\bAttention_0/Dense_0\b", "attn.qkv_layer"), (r"\bAttention_0/Dense_1\b", "attn.proj_layer"),
    (r"\bMlp_0/Dense_0\b", "mlp.layer1"), (r"\bMlp_0/Dense_1\b", "mlp.layer2"),
    (r"\bwmha_block/attn_heads_(\d+)/", r"attn.attn_heads.\1."), (r"\bwmha_block/", "attn."),
    (r"/(kernel|scale)$", ".weight"), (r"/", "."),
]


class FlaxError(Exception):
    """A file that is not such a checkpoint."""


class Extension:
    """What a type of flax's own is kept as until it is wanted."""

    def __init__(self, kind: int, data: memoryview) -> None:
        self.kind, self.data = kind, data


class Unpacker:
    """The values of msgpack data, one after the other."""

    def __init__(self, data: memoryview) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise FlaxError("is cut short")
        self.at += count
        return self.data[self.at - count:self.at]

    def number(self, form: str) -> int | float:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def sized(self, kind: str, size: int, depth: int) -> object:
        if kind == "bytes":
            return self.take(size)
        if kind == "text":
            try:
                return str(self.take(size), "utf-8")
            except UnicodeDecodeError:
                raise FlaxError("holds a text that is not UTF-8") from None
        if kind == "extension":
            return Extension(self.number(">b"), self.take(size))
        if kind == "list":
            return [self.value(depth + 1) for _ in range(size)]
        found: dict[str, object] = {}
        for _ in range(size):
            key = self.value(depth + 1)
            if not isinstance(key, str):
                raise FlaxError("holds a map whose keys are not texts")
            found[key] = self.value(depth + 1)
        return found

    def value(self, depth: int = 0) -> object:
        if depth > MOST_NESTED:
            raise FlaxError(f"nests more than {MOST_NESTED} maps")
        first = self.number(">B")
        if first < 0x80:
            return first
        if first >= 0xE0:
            return first - 0x100
        if first < 0xC0:  # 16 lengths of maps, 16 of lists, 32 of texts
            kind = "map" if first < 0x90 else "list" if first < 0xA0 else "text"
            return self.sized(kind, first & (0x1F if kind == "text" else 0x0F), depth)
        if first in SIZED:
            kind, form = SIZED[first]
            return self.sized(kind, self.number(form), depth)
        if first in NUMBERS:
            return self.number(NUMBERS[first])
        if 0xD4 <= first <= 0xD8:
            return self.sized("extension", 1 << (first - 0xD4), depth)
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        raise FlaxError("is no msgpack")


def is_flax(path: Path) -> bool:
    """Whether the file begins as a map whose first key is a word."""
    with path.open("rb") as stream:
        return re.match(rb"[\x81-\x8f][\xa2-\xbf][a-z_]{2}", stream.read(4)) is not None


def tensor(path: str, value: Extension) -> torch.Tensor:
    """An array that is not in pieces."""
    content = Unpacker(value.data).value() if value.kind == ARRAY else None
    if not isinstance(content, list) or len(content) != 3:
        raise FlaxError(f"holds no array under {path}")
    shape, name, data = content
    name = str(name, "ascii", "replace") if isinstance(name, memoryview) else name
    if name not in DTYPES:
        raise FlaxError(f"holds an array of {name} under {path}; known: {', '.join(DTYPES)}")
    sizes_fit = isinstance(shape, list) and all(isinstance(size, int) and size > 0 for size in shape)
    if not sizes_fit or not isinstance(data, memoryview) or len(data) != math.prod(shape) * DTYPES[name].itemsize:
        raise FlaxError(f"holds an array under {path} whose shape is not that of its values")
    return torch.frombuffer(bytearray(data), dtype=DTYPES[name]).reshape(shape)


def joined(path: str, value: dict[str, object]) -> torch.Tensor:
    """An array in pieces: lists are maps from "0", "1", … in flax."""
    def items(key: str) -> list[object]:
        content = value.get(key)
        if not isinstance(content, dict) or set(content) != {str(n) for n in range(len(content))} or not content:
            raise FlaxError(f"holds an array in pieces under {path} without its {key}")
        return [content[str(n)] for n in range(len(content))]

    pieces = items("chunks")
    if not all(isinstance(piece, Extension) for piece in pieces):
        raise FlaxError(f"holds an array in pieces under {path} of which one is none")
    flat = torch.cat([tensor(path, piece).flatten() for piece in pieces])
    shape = items("shape")
    if not all(isinstance(size, int) and size > 0 for size in shape) or math.prod(shape) != len(flat):
        raise FlaxError(f"holds an array in pieces under {path} whose shape is not that of its values")
    return flat.reshape(shape)


def arrays(tree: dict[str, object], above: str = "") -> dict[str, torch.Tensor]:
    """Every array of `tree` under its path."""
    found: dict[str, torch.Tensor] = {}
    for key, value in tree.items():
        path = f"{above}{key}"
        if isinstance(value, dict):
            found |= {path: joined(path, value)} if CHUNKED in value else arrays(value, f"{path}/")
        elif isinstance(value, Extension):
            found[path] = tensor(path, value)
        else:
            raise FlaxError(f"holds no array under {path}")
    return found


def as_in_pytorch(path: str, value: torch.Tensor) -> tuple[str, torch.Tensor]:
    """A kernel is [in, out], or [rows, columns, in, out] of a convolution."""
    name = path
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    if path.endswith("/kernel"):
        value = value.permute(3, 2, 0, 1) if value.dim() == 4 else value.t() if value.dim() == 2 else value
    return name, value


def read(path: Path) -> dict[str, torch.Tensor]:
    """The model's state dict under the names that the same model has in PyTorch."""
    with path.open("rb") as stream:
        data = Unpacker(memoryview(mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)))
    content = data.value()
    if data.at != len(data.data):
        raise FlaxError("goes on behind its end")
    params = content.get("params") if isinstance(content, dict) else None
    if not isinstance(params, dict):
        raise FlaxError("holds no params")
    return dict(as_in_pytorch(name, value) for name, value in arrays(params).items())

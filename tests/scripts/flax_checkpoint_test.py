"""Tests of scripts/flax_checkpoint.py and of converting what it reads, on checkpoints packed here. Run it directly."""

import contextlib
import io
import re
import struct
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import torch
    from safetensors.torch import load_file
except ImportError as missing:
    print(f"skipped: this Python has no torch or safetensors ({missing})")
    sys.exit(77)

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS.parent / "scripts"))
sys.dont_write_bytecode = True
import convert_checkpoint  # noqa: E402
import flax_checkpoint  # noqa: E402

BACK = [  # names here → the released code's
    (r"^blocks\.(\d)\.", r"encoder_block_0\1/"), (r"^decoder_blocks\.(\d)\.", r"decoder_block_0\1/"),
    (r"norm1\.", "LayerNorm_0/"), (r"norm2\.", "LayerNorm_1/"),
    (r"attn\.qkv_layer\.", "Attention_0/Dense_0/"), (r"attn\.proj_layer\.", "Attention_0/Dense_1/"),
    (r"mlp\.layer1\.", "Mlp_0/Dense_0/"), (r"mlp\.layer2\.", "Mlp_0/Dense_1/"),
    (r"attn\.attn_heads\.(\d)\.", r"wmha_block/attn_heads_\1/"), (r"attn\.(qkv|proj)\.", r"wmha_block/\1/"),
    (r"^patch_embed\.proj\.", "patch_embed/proj/"), (r"^(\w+)\.(weight|bias)$", r"\1/\2"),
    (r"((?:LayerNorm_\d|_norm)/)weight$", r"\1scale"), (r"/weight$", "/kernel"),
]


def packed_array(value: torch.Tensor) -> bytes:
    data = bytes(value.contiguous().view(torch.uint8).flatten().tolist())  # without NumPy
    inside = b"\x93" + packed(list(value.shape)) + packed(str(value.dtype).removeprefix("torch."))
    inside += b"\xc6" + struct.pack(">I", len(data)) + data
    return b"\xc9" + struct.pack(">Ib", len(inside), 1) + inside


def packed(value: object) -> bytes:
    """msgpack, in the forms that its Python package chooses for small values or in longer ones."""
    if value is None or isinstance(value, bool):
        return {None: b"\xc0", False: b"\xc2", True: b"\xc3"}[value]
    if isinstance(value, int):
        return bytes([value]) if 0 <= value < 128 else b"\xd2" + struct.pack(">i", value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return (bytes([0xA0 + len(text)]) if len(text) < 32 else b"\xd9" + bytes([len(text)])) + text
    if isinstance(value, torch.Tensor):
        return packed_array(value)
    if isinstance(value, list):
        return bytes([0x90 + len(value)]) + b"".join(map(packed, value))
    assert isinstance(value, dict)
    start = bytes([0x80 + len(value)]) if len(value) < 16 else b"\xde" + struct.pack(">H", len(value))
    return start + b"".join(packed(key) + packed(entry) for key, entry in value.items())


def golden(name: str) -> dict[str, torch.Tensor]:
    tensors = load_file(TESTS / "golden" / f"mwmae_{name}_d32.safetensors")
    return {name.removeprefix("param."): value for name, value in tensors.items() if name.startswith("param.")}


def as_in_flax(state: dict[str, torch.Tensor]) -> dict[str, object]:
    tree: dict[str, object] = {}
    for name, value in state.items():
        for pattern, replacement in BACK:
            name = re.sub(pattern, replacement, name)
        if name.endswith("/kernel"):
            value = value.permute(2, 3, 1, 0) if value.dim() == 4 else value.t()
        *above, last = name.split("/")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
        branch[last] = value
    return tree


class FlaxCheckpointTest(unittest.TestCase):
    def setUp(self) -> None:
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.folder = Path(scratch.name)
        self.checkpoint, self.out = self.folder / "checkpoint_198400", self.folder / "out"

    def write(self, params: object) -> None:
        self.checkpoint.write_bytes(packed(
            {"step": 198400, "params": params, "opt_state": {"0": {"count": torch.tensor([3.0]), "mu": {}}},
             "batch_stats": {}, "dynamic_scale": None, "lr": 6e-5}))

    def run_script(self, *options: str) -> tuple[int, str]:
        errors = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(errors):
            code = convert_checkpoint.main([str(self.checkpoint), str(self.out), *options])
        return code, errors.getvalue()

    def convert(self, *options: str) -> str:
        self.assertEqual(self.run_script(*options), (0, ""))
        return (self.out / "config.yaml").read_text()

    def refuse(self, *options: str) -> str:
        code, errors = self.run_script(*options)
        self.assertEqual((code, len(errors.splitlines())), (1, 1), errors)
        self.assertFalse(self.out.exists())
        return errors

    def check_weights(self, state: dict[str, torch.Tensor]) -> None:
        written = load_file(self.out / "model.safetensors")
        self.assertEqual(written.keys(), state.keys())
        for name, value in state.items():
            self.assertTrue(torch.equal(written[name], value), name)

    def test_both_models_come_back_under_the_names_of_pytorch(self) -> None:
        for name, class_token in [("model", "false"), ("plain", "true")]:
            with self.subTest(name):
                self.out = self.folder / name
                self.write(as_in_flax(golden(name)))
                self.assertEqual(
                    self.convert("--attention-heads", "2", "--arch", "mae"),
                    f"model:\n  arch: mae\n  size: custom\n  dim: 32\n  depth: 2\n  class_token: {class_token}\n"
                    "  activation: gelu_tanh\n  train_positions: true\n  attention_heads: 2\n  patch_frames: 4\n"
                    "  patch_mels: 16\nembedding:\n  padding: reflect\n")
                self.check_weights(golden(name))

    def test_arrays_of_16_bits_and_in_pieces(self) -> None:
        state = golden("model")
        params = as_in_flax(state)
        params["mask_token"] = state["mask_token"].bfloat16()
        kernel = params["decoder_embed"]["kernel"]
        params["decoder_embed"]["kernel"] = {
            flax_checkpoint.CHUNKED: True, "shape": {"0": 32, "1": 32},
            "chunks": {"1": kernel.flatten()[500:], "0": kernel.flatten()[:500]}}
        self.write(params)
        self.convert("--attention-heads", "2")
        self.check_weights(state | {"mask_token": state["mask_token"].bfloat16().float()})

    def test_a_file_that_is_damaged_is_named(self) -> None:
        self.write(as_in_flax(golden("model")))
        whole = self.checkpoint.read_bytes()
        for damaged, expected in [(whole[:len(whole) // 2], "is cut short"), (whole[:9], "is cut short"),
                                  (whole + b"\0", "goes on behind its end"), (whole[:1] + b"\xa4step\xc1", "is no msgpack"),
                                  (b"\x81\xa4step" + b"\x91" * 99, "nests more than 64"),
                                  (packed({"step": 3}), "holds no params"),
                                  (b"\x81\xa4step\x81\x01\x01", "keys are not texts")]:
            self.checkpoint.write_bytes(damaged)
            self.assertIn(f"not a readable flax checkpoint: {expected}", self.refuse().replace("holds a map whose ", ""))

    def test_arrays_that_are_none_are_named(self) -> None:
        array = torch.zeros(2, 3)
        chunked = {flax_checkpoint.CHUNKED: True, "shape": {"0": 2, "1": 4}, "chunks": {"0": array.flatten()}}
        for params, expected in [({"pos_embed": 3}, "no array under pos_embed"), ([], "no params"),
                                 ({"a": {"b": torch.zeros(2, dtype=torch.int32)}}, "an array of int32 under a/b"),
                                 ({"a": chunked}, "under a whose shape is not that of its values"),
                                 ({"a": chunked | {"shape": {"1": 6}}}, "in pieces under a without its shape"),
                                 ({"a": chunked | {"chunks": {"0": 1}}}, "of which one is none")]:
            self.write(params)
            self.assertIn(expected, self.refuse())
        self.write({"a": array})
        content = self.checkpoint.read_bytes()
        self.checkpoint.write_bytes(content.replace(b"\x92\x02\x03", b"\x92\x02\x04"))
        self.assertIn("under a whose shape is not that of its values", self.refuse())

    def test_other_models_are_refused(self) -> None:
        state = golden("model")
        self.write(as_in_flax(state))
        self.assertIn("give --attention-heads", self.refuse())
        self.assertIn("is a checkpoint of mae, not of ssast", self.refuse("--arch", "ssast"))
        self.write(as_in_flax(state | {"head.weight": torch.zeros(5, 32)}))
        self.assertIn("holds what MAE and MW-MAE have not: 'head.weight'", self.refuse("--attention-heads", "2"))
        self.write(as_in_flax({name: value for name, value in state.items() if name != "blocks.1.norm2.bias"}))
        self.assertIn("blocks.1.norm2.bias is missing", self.refuse("--attention-heads", "2"))
        self.write(as_in_flax(state | {"decoder_pred.weight": torch.zeros(60, 32)}))
        self.assertIn("[60, 32], expected [64, 32]", self.refuse("--attention-heads", "2"))


if __name__ == "__main__":
    unittest.main()

"""Tests of scripts/convert_checkpoint.py on small checkpoints made here. Run it directly."""

import argparse
import collections
import contextlib
import datetime
import io
import os
import re
import runpy
import sys
import tempfile
import types
import unittest
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath

try:
    import torch
    from safetensors.torch import load_file, save_file
except ImportError as missing:
    print(f"skipped: this Python has no torch or safetensors ({missing})")
    sys.exit(77)

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.dont_write_bytecode = True
import convert_checkpoint  # noqa: E402


def common(dim: int, patch: tuple[int, int] = (4, 16)) -> dict[str, tuple[int, ...]]:
    pixels = patch[0] * patch[1]
    return {
        "cls_token": (1, 1, dim), "mask_token": (1, 1, dim), "pos_embed": (1, 16000 // pixels + 1, dim),
        "patch_embed.proj.weight": (dim, 1, *patch), "patch_embed.proj.bias": (dim,),
        "encoder_norm.weight": (dim,), "encoder_norm.bias": (dim,),
        "pred.0.weight": (dim, dim), "pred.0.bias": (dim,), "pred.2.weight": (pixels, dim), "pred.2.bias": (pixels,),
    }


def draw(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def axlstm(dim: int = 32, depth: int = 2, expansion: int = 2,
           patch: tuple[int, int] = (4, 16)) -> dict[str, torch.Tensor]:
    inner = expansion * dim
    layer = {
        "norm.weight": (dim,), "layer.proj_up.weight": (2 * inner, dim), "layer.proj_down.weight": (dim, inner),
        "layer.conv1d.conv.weight": (inner, 1, 4), "layer.conv1d.conv.bias": (inner,), "layer.learnable_skip": (inner,),
        **{f"layer.{x}_proj.weight": (inner // 4, 4, 4) for x in "qkv"},
        **{f"layer.mlstm_cell.{x}gate.weight": (4, 3 * inner) for x in "if"},
        **{f"layer.mlstm_cell.{x}gate.bias": (4,) for x in "if"}, "layer.mlstm_cell.outnorm.weight": (inner,),
    }
    return draw(common(dim, patch) | {f"blocks.{i}.{k}": v for i in range(depth) for k, v in layer.items()})


def ssast(dim: int = 48, depth: int = 2) -> dict[str, torch.Tensor]:
    linear = {"attn.qkv_layer": (3 * dim, dim), "attn.proj_layer": (dim, dim),
              "mlp.layer1": (4 * dim, dim), "mlp.layer2": (dim, 4 * dim)}
    block = {f"norm{n}.{x}": (dim,) for n in (1, 2) for x in ("weight", "bias")}
    for name, shape in linear.items():
        block |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return draw(common(dim) | {f"blocks.{i}.{k}": v for i in range(depth) for k, v in block.items()})


def ssam(dim: int = 40, depth: int = 2, expansion: int = 3, state: int = 24) -> dict[str, torch.Tensor]:
    inner, rank = expansion * dim, -(-dim // 16)
    block = {
        "mixer.A_log": (inner, state), "mixer.D": (inner,), "mixer.in_proj.weight": (2 * inner, dim),
        "mixer.conv1d.weight": (inner, 1, 4), "mixer.conv1d.bias": (inner,),
        "mixer.x_proj.weight": (rank + 2 * state, inner), "mixer.dt_proj.weight": (inner, rank),
        "mixer.dt_proj.bias": (inner,), "mixer.out_proj.weight": (dim, inner), "norm.weight": (dim,), "norm.bias": (dim,),
    }
    return draw(common(dim) | {f"blocks.{i}.{k}": v for i in range(depth) for k, v in block.items()})


def save_with_config_dict(state: dict[str, torch.Tensor], path: Path) -> None:
    """As the released training programs save it: beside the weights a Namespace with an ml_collections.ConfigDict."""
    with pretended_class("ml_collections.config_dict.config_dict.ConfigDict", __setstate__=runs) as config_dict:
        config = config_dict()
        config.__dict__["_fields"] = {"base_lr": 1.5e-4}
        torch.save({"model": state, "optimizer": {"state": {}}, "epoch": 99, "scaler": {"scale": 65536.0},
                    "args": argparse.Namespace(config=config, resume=None)}, path)


class RunsCode:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.path}",)


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: object, arguments: tuple) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple:
        return self.call


@contextlib.contextmanager
def pretended_class(name: str, base: type = object, **members: object) -> Iterator[type]:
    """A class that can be pickled under its full name for as long as this lasts; then nobody has its module."""
    module, _, short = name.rpartition(".")
    made = type(short, (base,), {"__module__": module, "__qualname__": short, **members})
    parts = module.split(".")
    added = [".".join(parts[:n + 1]) for n in range(len(parts))]
    for part in added:
        sys.modules[part] = types.ModuleType(part)
    setattr(sys.modules[module], short, made)
    try:
        yield made
    finally:
        for part in added:
            del sys.modules[part]


def runs(*_: object) -> None:
    raise AssertionError("code that the file names was run")


class ConvertCheckpointTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.checkpoint = self.folder / "model.pth"
        self.out = self.folder / "out"

    def run_script(self, *options: str) -> tuple[int, str, str]:
        """Return exit code, stdout and stderr."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = convert_checkpoint.main([str(self.checkpoint), str(self.out), *options])
        return code, out.getvalue(), err.getvalue()

    def convert(self, content: object, *options: str) -> str:
        """Convert what must convert; return config.yaml."""
        torch.save(content, self.checkpoint)
        code, printed, errors = self.run_script(*options)
        self.assertEqual((code, errors), (0, ""))
        config = (self.out / "config.yaml").read_text()
        self.assertTrue(printed.startswith(config))
        return config

    def refuse(self, content: object, *options: str) -> str:
        """Fail to convert: exit code 1, one line on stderr, nothing left behind; return the line."""
        if content is not None:
            torch.save(content, self.checkpoint)
        before = sorted(self.folder.rglob("*"))
        code, printed, errors = self.run_script(*options)
        self.assertEqual((code, printed), (1, ""))
        self.assertEqual(len(errors.splitlines()), 1, errors)
        self.assertEqual(sorted(self.folder.rglob("*")), before)
        return errors

    def check_weights(self, state: dict[str, torch.Tensor]) -> None:
        written = load_file(self.out / "model.safetensors")
        self.assertEqual(written.keys(), state.keys())
        for name, tensor in state.items():
            self.assertEqual(written[name].dtype, torch.float32)
            self.assertTrue(torch.equal(written[name], tensor.float()), name)

    def test_released_training_checkpoint(self) -> None:
        state = axlstm(192, 12, 3)
        config = self.convert({"model": {f"module.{k}": v for k, v in state.items()}, "optimizer": {"state": {}},
                               "epoch": 99, "args": argparse.Namespace(lr=1e-4, resume=None)})
        self.assertEqual(config, "model:\n  arch: axlstm\n  size: tiny\n  expansion: 3\n  flip: true\n"
                                 "  input_gate: exponential\n  patch_frames: 4\n  patch_mels: 16\n")
        self.check_weights(state)

    def test_bare_compiled_state_dict_of_custom_size(self) -> None:
        state = axlstm(patch=(8, 16))
        config = self.convert({f"_orig_mod.module.{k}": v for k, v in state.items()}, "--no-flip")
        self.assertEqual(config, "model:\n  arch: axlstm\n  size: custom\n  dim: 32\n  depth: 2\n  expansion: 2\n"
                                 "  flip: false\n  input_gate: exponential\n  patch_frames: 8\n  patch_mels: 16\n")
        self.check_weights(state)

    def test_checkpoint_of_the_released_training_program(self) -> None:
        """Which saves its Namespace with an ml_collections.ConfigDict in it, and whatever else was put there."""
        state = axlstm()
        with pretended_class("ml_collections.config_dict.config_dict.ConfigDict", __setstate__=runs) as config_dict, \
                pretended_class("ml_collections_2.FieldReference", __setstate__=runs) as reference, \
                pretended_class("easydict.EasyDict", dict, __setitem__=runs) as easy_dict, \
                pretended_class("lists.OwnList", list, append=runs) as own_list, \
                pretended_class("their.own.code.Options", __setstate__=runs) as options:
            config, field, own = config_dict(), reference(), options()
            config.__dict__["_fields"] = {"lr": 1e-3, "field": field}
            field.__dict__["_value"] = own.depth = 3
            args = argparse.Namespace(config=config, own=own, path=Path("runs/x"), windows=PureWindowsPath("c:/x"),
                                      lists=collections.defaultdict(list, {"a": [1]}), names=collections.Counter("aab"),
                                      ordered=collections.OrderedDict(a=1), resume=None, when=datetime.date(2024, 1, 2),
                                      easy=easy_dict(a=1), own_list=own_list([1, 2]), plain=types.SimpleNamespace(a=1))
            torch.save({"model": {f"module.{k}": v for k, v in state.items()}, "epoch": 99, "args": args},
                       self.checkpoint)
        code, _, errors = self.run_script()
        self.assertEqual((code, errors), (0, ""))
        self.check_weights(state)

    def test_numpy_values_in_the_arguments(self) -> None:
        try:
            import numpy
        except ImportError:
            self.skipTest("this Python has no NumPy")
        state = axlstm()
        args = argparse.Namespace(scalar=numpy.float64(1.5), array=numpy.arange(3), text=numpy.str_("x"),
                                  random=numpy.random.RandomState(0).get_state(), kind=numpy.dtype("f4"))
        self.convert({"model": state, "loss": numpy.float32(2), "args": args})
        self.check_weights(state)

    def test_where_training_programs_put_the_weights(self) -> None:
        state = axlstm()
        for n, key in enumerate(["model", "state_dict", "model_state_dict"]):
            self.out = self.folder / f"key{n}"
            self.convert({"epoch": 3, key: collections.OrderedDict(state), "optimizer": {"state": {0: torch.zeros(1)}}})
            self.check_weights(state)

    def test_prefixes_anywhere_in_pth_and_safetensors(self) -> None:
        state = axlstm()
        renamings = [
            lambda name: f"model.{name}",
            lambda name: f"module._orig_mod.model.{name}",
            lambda name: re.sub(r"^blocks\.(\d+)\.", r"blocks.\1._orig_mod.", name),
            lambda name: re.sub(r"^blocks\.(\d+)\.layer\.", r"module.blocks.\1.module.layer._orig_mod.", name),
            lambda name: f"network.encoder.{name}",
        ]
        for n, rename in enumerate(renamings):
            renamed = {rename(name): value for name, value in state.items()}
            self.checkpoint, self.out = self.folder / f"{n}.pth", self.folder / f"pth{n}"
            self.convert(renamed | {"n_averaged": torch.tensor(3)})
            self.check_weights(state)
            self.checkpoint, self.out = self.folder / f"{n}.safetensors", self.folder / f"safetensors{n}"
            save_file(renamed, self.checkpoint)
            code, _, errors = self.run_script()
            self.assertEqual((code, errors), (0, ""))
            self.check_weights(state)

    def test_half_precision_transposed_and_shared_tensors(self) -> None:
        state = axlstm()
        state["pred.0.weight"] = state["pred.0.weight"].half().t()
        state["encoder_norm.bias"] = state["encoder_norm.weight"]
        self.convert({"model": state})
        self.check_weights(state)

    def test_ssast_sizes(self) -> None:
        state = ssast(192, 12)
        self.assertEqual(self.convert(state, "--arch", "ssast"),
                         "model:\n  arch: ssast\n  size: tiny\n  patch_frames: 4\n  patch_mels: 16\n")
        self.check_weights(state)
        self.out = self.folder / "custom"
        self.assertIn("--attention-heads", self.refuse(ssast()))
        self.assertIn("does not divide", self.refuse(ssast(), "--attention-heads", "5"))
        self.assertIn("  size: custom\n  dim: 48\n  depth: 2\n  attention_heads: 3\n",
                      self.convert(ssast(), "--attention-heads", "3"))

    def test_ssam_as_its_training_program_saves_it(self) -> None:
        state = ssam(192, 12)
        save_with_config_dict(state, self.checkpoint)
        code, printed, errors = self.run_script("--arch", "ssam")
        self.assertEqual((code, errors), (0, ""))
        self.assertEqual((self.out / "config.yaml").read_text(),
                         "model:\n  arch: ssam\n  size: tiny\n  expansion: 3\n  state: 24\n"
                         "  patch_frames: 4\n  patch_mels: 16\n")
        self.assertNotIn("flip", printed)
        self.check_weights(state)

    def test_ssam_weights_of_the_released_code(self) -> None:
        golden = load_file(Path(__file__).resolve().parents[1] / "golden/ssam_model_d48_n16_e2_patch8x16.safetensors")
        state = {name.removeprefix("param."): value for name, value in golden.items() if name.startswith("param.")}
        save_with_config_dict(state, self.checkpoint)
        code, _, errors = self.run_script()
        self.assertEqual((code, errors), (0, ""))
        config = (self.out / "config.yaml").read_text()
        self.assertIn("  arch: ssam\n  size: custom\n  dim: 48\n", config)
        self.assertIn("  expansion: 2\n  state: 16\n  patch_frames: 8\n  patch_mels: 16\n", config)
        self.check_weights(state)

    def test_ssam_of_other_shapes_is_refused(self) -> None:
        state, step, log = ssam(), "blocks.1.mixer.dt_proj.weight", "blocks.0.mixer.A_log"
        self.assertIn("expected [120, 3]", self.refuse(state | {step: torch.zeros(120, 4)}))
        self.assertIn(f"{step} is missing", self.refuse({k: v for k, v in state.items() if k != step}))
        self.assertIn("130 rows, not a multiple of the width 40", self.refuse(state | {log: torch.zeros(130, 24)}))
        self.assertIn("not of axlstm", self.refuse(state, "--arch", "axlstm"))
        self.assertIn("must be 24", self.refuse(state, "--config", "state=16"))

    def test_other_mambas_are_named(self) -> None:
        mixer = {k.removeprefix("blocks.0."): v for k, v in ssam().items() if k.startswith("blocks.0.")}
        text = {f"backbone.layers.{i}.{k}": v for i in range(2) for k, v in mixer.items()}
        text |= {"backbone.norm_f.weight": torch.ones(40)}
        both_ways = {"mixer.A_b_log": torch.zeros(120, 24), "mixer.D_b": torch.ones(120)}
        cases = [
            (text | {"backbone.embedding.weight": torch.zeros(9, 40)}, "a Mamba language model: it holds embedding.weight"),
            (text | {"lm_head.weight": torch.zeros(9, 40)}, "a Mamba language model: it holds lm_head.weight"),
            (text, "a Mamba of other code: it holds layers.0.mixer.A_log"),
            (ssam() | {f"blocks.0.{k}": v for k, v in both_ways.items()}, "scans in both directions, like Vim: it holds "
                                                                          "blocks.0.mixer.A_b_log"),
            (text | {f"backbone.layers.0.{k}": v for k, v in both_ways.items()}, "scans in both directions"),
        ]
        for content, expected in cases:
            with self.subTest(expected=expected):
                message = self.refuse({"model": content})
                self.assertIn(expected, message)
                self.assertIn("SSAM alone", message)
                self.assertIn("blocks.0.mixer.x_proj.weight", message)

    def test_config_options(self) -> None:
        config = self.convert(axlstm(), "--config", "flip=false", "model.input_gate=sigmoid", "expansion=2")
        self.assertIn("  flip: false\n  input_gate: sigmoid\n", config)
        self.out = self.folder / "other"
        self.assertIn("must be 2", self.refuse(axlstm(), "--config", "expansion=3"))
        self.assertIn("key=value", self.refuse(axlstm(), "--config", "epochs=3"))

    def test_code_in_the_file_is_refused(self) -> None:
        trace = self.folder / "trace"
        message = self.refuse({"model": axlstm(), "args": RunsCode(trace)})
        self.assertIn(str(self.checkpoint), message)
        self.assertIn("refused: it refers to posix.system", message)
        self.assertFalse(trace.exists())
        for call, name in [((eval, ("1",)), "builtins.eval"), ((runpy.run_path, (str(trace),)), "runpy.run_path"),
                           ((getattr, ("", "join")), "builtins.getattr")]:
            self.assertIn(f"refused: it refers to {name}", self.refuse({"model": axlstm(), "args": Calls(*call)}))
        self.assertFalse(trace.exists())

    def test_unreadable_files(self) -> None:
        self.assertIn("No such file", self.refuse(None))
        torch.save(axlstm(), self.checkpoint)
        whole = self.checkpoint.read_bytes()
        with pretended_class("their.Model") as model:
            torch.save(model(), self.checkpoint)
        self.assertIn("a whole object (their.Model)", self.refuse(None))
        for damaged in (b"", b"junk", b"not a checkpoint at all\n" * 9, whole[:len(whole) // 2]):
            self.checkpoint.write_bytes(damaged)
            self.assertIn("not a readable PyTorch checkpoint", self.refuse(None))
        self.checkpoint = self.folder / "model.safetensors"
        self.checkpoint.write_bytes(b"junk")
        self.assertIn("not a readable safetensors file", self.refuse(None))

    def test_wrong_contents(self) -> None:
        state = axlstm()
        missing_block = {k: v for k, v in axlstm(depth=3).items() if not k.startswith("blocks.1.")}
        cases = [
            ([1, 2], "holds a list, neither a state dict"),
            ({"weights": {"a": torch.zeros(1)}, "epoch": 3}, "its keys: 'weights', 'epoch'"),
            ({str(n): n for n in range(30)}, "'9' and 20 more"),
            ({}, "its keys: none"),
            ({"model": {"a.weight": torch.zeros(2), "bias": torch.zeros(2)}}, "its tensors: 'a.weight', 'bias'"),
            ({"model": {"weight": torch.zeros(2)}}, "none of AxLSTM, SSAM, MAE and SSAST"),
            ({k: v for k, v in state.items() if k != "pos_embed"}, "pos_embed is missing"),
            (missing_block, "block 1 is missing"),
            (state | {"blocks.1.layer.proj_up.weight": torch.zeros(192, 32)}, "[192, 32], expected [128, 32]"),
            (state | {"pred.2.weight": torch.zeros(60, 32)}, "expected [64, 32]"),
            (state | {"module.cls_token": state["cls_token"]}, "two tensors are called cls_token"),
            (state | {"cls_token": torch.full((1, 1, 32), float("nan"))}, "NaN or infinite"),
            (state | {"mask_token": torch.zeros(1, 1, 32, dtype=torch.int64)}, "not floating point"),
            (state | {"mask_token": 3}, "not a tensor"),
        ]
        for content, expected in cases:
            with self.subTest(expected=expected):
                self.assertIn(expected, self.refuse(content))
        self.assertIn("not of ssast", self.refuse(state, "--arch", "ssast"))

    def test_existing_output(self) -> None:
        self.out.mkdir()
        self.convert(axlstm())  # an empty folder is fine
        message = self.refuse(axlstm())
        self.assertIn(str(self.out), message)
        self.assertIn("not an empty folder", message)


if __name__ == "__main__":
    unittest.main()

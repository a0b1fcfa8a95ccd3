#!/usr/bin/env python3
"""Convert a checkpoint of the authors' AxLSTM, SSAM, SSAST, MAE or MW-MAE code to a checkpoint folder.

The weights, from a file of torch.save, of safetensors or, of MAE and MW-MAE, of flax (`checkpoint_STEP`), are loaded without
running any code of the file (`weights_only=True`; what else it holds, such as the arguments of training, becomes empty
objects), the model's shape is read off the tensors, and OUT_DIR receives `model.safetensors` (the model's tensor names,
float32) and `config.yaml` (the `model:` section, and how embeddings are made of it if not as by default). Needs only torch
and safetensors.
"""

import argparse
import collections
import os
import pickle
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import flax_checkpoint

SIZES = {  # name: (dim, depth, attention heads of SSAST and MAE)
    "tiny": (192, 12, 3), "small": (384, 12, 6), "medium": (512, 12, 8),
    "base": (768, 12, 12), "large": (1024, 24, 16), "huge": (1280, 32, 16),
}
MARKERS = {"axlstm": "blocks.0.layer.proj_up.weight", "ssam": "blocks.0.mixer.x_proj.weight",
           "mae": "decoder_embed.weight", "ssast": "blocks.0.attn.qkv_layer.weight"}  # MAE's blocks are those of SSAST
CONV_TAPS = 4
# Mambas that are not SSAM, by the names that only they have.
OTHER_MAMBAS = [
    (r"\.mixer\.(A_b_log$|D_b$|(conv1d|x_proj|dt_proj)_b\.)", "a Mamba that scans in both directions, like Vim"),
    (r"(^|\.)(lm_head|embeddings?|embed_tokens)\.weight$", "a Mamba language model"),
    (r"(^|\.)layers\.\d+\.", "a Mamba of other code"),
]
CHOICES = {  # what no tensor shows
    "flip": {"true": True, "false": False},
    "input_gate": {"exponential": "exponential", "sigmoid": "sigmoid"},
}
STATE_KEYS = ("model", "state_dict", "model_state_dict")  # where training programs put the weights
# What DistributedDataParallel, Lightning and the like, torch.compile, FSDP and activation checkpoints put into names.
WRAPPERS = {"module", "model", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
COUNTERS = {"n_averaged"}  # of torch.optim.swa_utils.AveragedModel, beside the weights
# Values that are pickled as a call. The call is made to a stand-in, as for every class that a file names.
CALLED_MODULES = {"_codecs", "argparse", "builtins", "collections", "datetime", "ml_collections", "numpy", "pathlib",
                  "types", "uuid"}
CODE_IN_BUILTINS = {"__import__", "breakpoint", "compile", "delattr", "eval", "exec", "getattr", "input", "open", "setattr"}
MOST_STAND_INS = 300


class ConversionError(Exception):
    """A failure that is reported as one line naming the file and the cause."""


class StandIn:
    """An empty object in the place of one whose class is not the weights': takes what unpickling gives it and forgets it."""

    @classmethod
    def empty(cls) -> object:
        return super().__new__(cls)

    def __new__(cls, *_: object, **__: object) -> object:
        return cls.empty()

    def __init__(self, *_: object, **__: object) -> None:  # not run for a plain object, but for a call
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        module, _, function = name.partition(".")
        if module not in CALLED_MODULES or (module == "builtins" and function in CODE_IN_BUILTINS):
            raise ConversionError(refusal(name))

    def __setstate__(self, _: object) -> None:
        pass


def refusal(name: str) -> str:
    return (f"refused: it refers to {name}, and loading that could run code from the file; where you trust the "
            'file, save the weights alone with torch.save({"model": state_dict}, ...)')


def stand_in(name: str, empty: Callable[[], object] | None = None) -> type:
    """The class that the unpickler takes for `name`, which it looks up by module and name. `empty`: makes its objects."""
    module, _, short = name.rpartition(".")
    more = {"empty": staticmethod(empty)} if empty else {}
    return type(short, (StandIn,), {"__module__": module, "__qualname__": short} | more)


def unpickle(path: Path) -> object:
    """What torch.save wrote. Classes that the weights do not need are never imported: stand-ins take their places."""
    stand_ins: dict[str, type] = {}
    containers = [("SETITEM", collections.OrderedDict), ("append", list), ("extend", list)]
    for _ in range(MOST_STAND_INS):
        try:
            with path.open("rb") as stream, torch.serialization.safe_globals(list(stand_ins.values())), \
                    warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return torch.load(stream, map_location="cpu", weights_only=True)
        except ConversionError:
            raise
        except Exception as error:  # what a damaged file raises depends on where the damage is
            message = str(error) if isinstance(error, pickle.UnpicklingError) else ""
            if found := re.search(r"GLOBAL (\S+)", message):
                name = found[1] if "." in found[1] else f"builtins.{found[1]}"  # as the unpickler calls those
                if " is blocked" in message or name in stand_ins:
                    raise ConversionError(refusal(name)) from None
                stand_ins[name] = stand_in(name)
                continue
            # The unpickler puts items only into a container of its own.
            found = re.search(r"Can only (SETITEM|append|extend).* got <class '([^']+)'>", message)
            if found is None or found[2] not in stand_ins:
                raise ConversionError(
                    "not a readable PyTorch checkpoint (damaged, cut short or another format)") from None
            stand_ins[found[2]] = stand_in(found[2], dict(containers)[found[1]])
    raise ConversionError(f"refused: it refers to more than {MOST_STAND_INS} classes")


def is_safetensors(path: Path) -> bool:
    """Whether the file begins as one of safetensors does: 8 bytes of length, then JSON."""
    with path.open("rb") as stream:
        start = stream.read(9)
    return path.suffix == ".safetensors" or (start[8:] == b"{" and not start.startswith((b"PK", b"\x80")))


def listed(keys: Iterable[object]) -> str:
    names = [repr(key) for key in keys]
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if len(names) > 10 else "")


def find_state(content: object) -> dict[object, object]:
    """The state dict in what a training program saved."""
    def is_state(value: object) -> bool:
        return isinstance(value, dict) and any(isinstance(entry, torch.Tensor) for entry in value.values())

    if isinstance(content, StandIn):
        kind = type(content)
        raise ConversionError(f"holds a whole object ({kind.__module__}.{kind.__qualname__}), not a state dict; where its "
                              "code is, save the weights alone with torch.save(model.state_dict(), ...)")
    if not isinstance(content, dict):
        raise ConversionError(f"holds a {type(content).__name__}, neither a state dict nor a dict with one under "
                              f"{' or '.join(map(repr, STATE_KEYS))}")
    for key in STATE_KEYS:
        if is_state(content.get(key)):
            return content[key]
    if is_state(content):
        return content
    raise ConversionError(f"holds neither a state dict nor one under {' or '.join(map(repr, STATE_KEYS))}; its keys: "
                          f"{listed(content) or 'none'}")


def plain_names(names: list[str]) -> dict[str, str]:
    """The model's own name for each: without what wrappers put in, and without a first part that all have in common."""
    parts = {name: [part for part in name.split(".") if part not in WRAPPERS] for name in names}
    while len({tuple(part[:1]) for part in parts.values()}) == 1 and all(len(part) > 1 for part in parts.values()):
        parts = {name: part[1:] for name, part in parts.items()}
    return {name: ".".join(part) for name, part in parts.items()}


def load(path: Path) -> dict[str, torch.Tensor]:
    """Return the model's state dict under the model's own names."""
    try:
        if flax_checkpoint.is_flax(path):
            content: object = flax_checkpoint.read(path)
        else:
            content = load_file(path) if is_safetensors(path) else unpickle(path)
    except flax_checkpoint.FlaxError as error:
        raise ConversionError(f"not a readable flax checkpoint: {error}") from None
    except OSError as error:
        raise ConversionError(error.strerror or str(error)) from None
    except SafetensorError as error:
        raise ConversionError(f"not a readable safetensors file ({error})") from None

    state = {str(name): value for name, value in find_state(content).items() if name not in COUNTERS}
    names = plain_names(list(state))
    tensors = {}
    for full_name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ConversionError(f"the state dict's entry {full_name!r} is a {type(value).__name__}, not a tensor")
        name = names[full_name]
        if name in tensors:
            raise ConversionError(f"two tensors are called {name} once prefixes are removed")
        if not value.is_floating_point():
            raise ConversionError(f"tensor {name} is {value.dtype}, not floating point")
        if not torch.isfinite(value).all():
            raise ConversionError(f"tensor {name} holds NaN or infinite values")
        # A copy of its own: safetensors refuses tensors that share memory.
        tensors[name] = value.detach().to(torch.float32).clone(memory_format=torch.contiguous_format)
    return tensors


def expect(tensors: dict[str, torch.Tensor], name: str, *shape: int | None) -> tuple[int, ...]:
    """Check one tensor's shape (None: any length) and return it."""
    if name not in tensors:
        raise ConversionError(f"tensor {name} is missing")
    actual = tuple(tensors[name].shape)
    if len(actual) != len(shape) or any(want not in (None, have) for want, have in zip(shape, actual)):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ConversionError(f"tensor {name} has shape {list(actual)}, expected [{wanted}]")
    return actual


def refuse_other_mambas(tensors: dict[str, torch.Tensor]) -> None:
    if not any(name.endswith(".A_log") for name in tensors):
        return
    for pattern, kind in OTHER_MAMBAS:
        if found := next((name for name in tensors if re.search(pattern, name)), None):
            raise ConversionError(f"is {kind}: it holds {found}. Of Mambas this takes SSAM alone, which scans audio in one "
                                  f"direction and holds patch_embed.proj.weight, {MARKERS['ssam']} and so on")


def axlstm_options(tensors: dict[str, torch.Tensor], dim: int, depth: int) -> dict[str, object]:
    expansion = None
    for block in range(depth):
        name = MARKERS["axlstm"].replace(".0.", f".{block}.")
        rows, _ = expect(tensors, name, expansion and 2 * expansion * dim, dim)
        expansion, rest = divmod(rows, 2 * dim)
        if rest or not expansion:
            raise ConversionError(f"tensor {name} has {rows} rows, not a multiple of twice the width {dim}")
    return {"expansion": expansion}


def ssam_options(tensors: dict[str, torch.Tensor], dim: int, depth: int) -> dict[str, object]:
    inner, state = expect(tensors, "blocks.0.mixer.A_log", None, None)
    if inner == 0 or inner % dim:
        raise ConversionError(f"tensor blocks.0.mixer.A_log has {inner} rows, not a multiple of the width {dim}")
    rank = -(-dim // 16)  # of the steps; nothing else is in use
    shapes = {
        "norm.weight": (dim,), "norm.bias": (dim,), "mixer.A_log": (inner, state), "mixer.D": (inner,),
        "mixer.in_proj.weight": (2 * inner, dim), "mixer.out_proj.weight": (dim, inner),
        "mixer.conv1d.weight": (inner, 1, CONV_TAPS), "mixer.conv1d.bias": (inner,),
        "mixer.x_proj.weight": (rank + 2 * state, inner),
        "mixer.dt_proj.weight": (inner, rank), "mixer.dt_proj.bias": (inner,),
    }
    for block in range(depth):
        for name, shape in shapes.items():
            expect(tensors, f"blocks.{block}.{name}", *shape)
    return {"expansion": inner // dim, "state": state}


def ssast_options(tensors: dict[str, torch.Tensor], dim: int, depth: int) -> dict[str, object]:
    for block in range(depth):
        expect(tensors, MARKERS["ssast"].replace(".0.", f".{block}."), 3 * dim, dim)
    return {}


def mae_options(tensors: dict[str, torch.Tensor], dim: int, depth: int) -> dict[str, object]:
    shapes = {f"{norm}.{kind}": (dim,) for norm in ("norm1", "norm2") for kind in ("weight", "bias")}
    for name, rows, columns in [("attn.qkv_layer", 3 * dim, dim), ("attn.proj_layer", dim, dim),
                                ("mlp.layer1", 4 * dim, dim), ("mlp.layer2", dim, 4 * dim)]:
        shapes |= {f"{name}.weight": (rows, columns), f"{name}.bias": (rows,)}
    known = {"cls_token", "pos_embed", *(f"{name}.{kind}" for name in ("patch_embed.proj", "encoder_norm")
                                         for kind in ("weight", "bias"))}
    for block in range(depth):
        for name, shape in shapes.items():
            expect(tensors, f"blocks.{block}.{name}", *shape)
            known.add(f"blocks.{block}.{name}")
    if others := [name for name in tensors if name not in known and not name.startswith(("mask_token", "decoder_"))]:
        raise ConversionError(f"holds what MAE and MW-MAE have not: {listed(others)}")
    return {"class_token": "cls_token" in tensors, "activation": "gelu_tanh", "train_positions": True}


BLOCK_OPTIONS = {"axlstm": axlstm_options, "ssam": ssam_options, "mae": mae_options, "ssast": ssast_options}
MORE_SECTIONS = {"mae": "embedding:\n  padding: reflect\n"}  # of config.yaml: what the released extraction does


def infer(tensors: dict[str, torch.Tensor], arguments: argparse.Namespace) -> dict[str, object]:
    """Read the `model:` section off the tensors' shapes."""
    refuse_other_mambas(tensors)
    arch = next((arch for arch, marker in MARKERS.items() if marker in tensors), None)
    if arch is None:
        raise ConversionError(f"is none of AxLSTM, SSAM, MAE and SSAST: it holds none of {', '.join(MARKERS.values())}; its "
                              f"tensors: {listed(tensors)}")
    if arguments.arch not in (None, arch):
        raise ConversionError(f"is a checkpoint of {arch}, not of {arguments.arch}")
    dim, _, patch_frames, patch_mels = expect(tensors, "patch_embed.proj.weight", None, 1, None, None)
    expect(tensors, "pos_embed", 1, None, dim)
    if arch != "mae" or "cls_token" in tensors:
        expect(tensors, "cls_token", 1, 1, dim)
    for name in ("patch_embed.proj.bias", "encoder_norm.weight", "encoder_norm.bias"):
        expect(tensors, name, dim)
    pixels = patch_frames * patch_mels
    if arch == "mae":
        width, _ = expect(tensors, "decoder_embed.weight", None, dim)
        expect(tensors, "decoder_pred.weight", pixels, width)
    else:
        expect(tensors, "mask_token", 1, 1, dim)
        expect(tensors, "pred.0.weight", dim, dim)
        expect(tensors, "pred.0.bias", dim)
        expect(tensors, "pred.2.weight", pixels, dim)

    found = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))}
    depth = len(found)
    if found != set(range(depth)):
        raise ConversionError(f"block {min(set(range(max(found))) - found)} is missing")
    size = next((name for name, (d, n, _) in SIZES.items() if (d, n) == (dim, depth)), "custom")
    model: dict[str, object] = {"arch": arch, "size": size}
    if size == "custom":
        model |= {"dim": dim, "depth": depth}
    model |= BLOCK_OPTIONS[arch](tensors, dim, depth)
    if arch == "axlstm":
        model |= {"flip": arguments.flip, "input_gate": "exponential"}
    elif arch in ("ssast", "mae") and size == "custom":
        if arguments.attention_heads is None:
            raise ConversionError(f"{arch} of width {dim} and depth {depth} is no standard size: give --attention-heads")
        if arguments.attention_heads < 1 or dim % arguments.attention_heads:
            raise ConversionError(f"--attention-heads {arguments.attention_heads} does not divide the width {dim}")
        model["attention_heads"] = arguments.attention_heads
    return model | {"patch_frames": patch_frames, "patch_mels": patch_mels}


def override(model: dict[str, object], settings: list[str]) -> None:
    """Apply --config key=value: set what the weights do not tell, check what they do."""
    for setting in settings:
        key, _, value = setting.partition("=")
        key = key.removeprefix("model.")
        if key not in model:
            raise ConversionError(f"--config {setting}: give key=value with key one of {', '.join(model)}")
        choices = CHOICES.get(key, {str(model[key]): model[key]})
        if value not in choices:
            raise ConversionError(f"--config {setting}: the value must be {' or '.join(choices)}")
        model[key] = choices[value]


def to_yaml(model: dict[str, object]) -> str:
    values = {key: str(value).lower() if isinstance(value, bool) else value for key, value in model.items()}
    return "model:\n" + "".join(f"  {key}: {value}\n" for key, value in values.items())


def write(out: Path, tensors: dict[str, torch.Tensor], config: str) -> None:
    """Write the folder under a temporary name and rename it, so that no half-written one is ever seen."""
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConversionError("exists and is not an empty folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
            folder = Path(temporary) / out.name
            folder.mkdir()
            (folder / "config.yaml").write_text(config, encoding="utf-8")
            save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
            # safetensors makes its file private; give it the rights of any other file.
            (folder / "model.safetensors").chmod((folder / "config.yaml").stat().st_mode & 0o777)
            os.replace(folder, out)
    except OSError as error:
        raise ConversionError(error.strerror or str(error)) from None


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, metavar="model.pth|model.safetensors|checkpoint_STEP")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--arch", choices=tuple(MARKERS), help="fail unless the checkpoint is of this architecture")
    parser.add_argument("--flip", action=argparse.BooleanOptionalAction, default=True,
                        help="whether odd AxLSTM layers run backwards in time; the weights do not tell (default: flip)")
    parser.add_argument("--attention-heads", type=int, help="heads of an SSAST or MAE of no standard size")
    parser.add_argument("--config", nargs="+", action="extend", default=[], metavar="key=value",
                        help="set what the weights do not tell, or check what they do")
    arguments = parser.parse_args(argv)
    subject = arguments.checkpoint
    try:
        tensors = load(subject)
        model = infer(tensors, arguments)
        override(model, arguments.config)
        config, subject = to_yaml(model) + MORE_SECTIONS.get(model["arch"], ""), arguments.out
        write(subject, tensors, config)
    except ConversionError as error:
        print(f"convert_checkpoint: {subject}: {error}", file=sys.stderr)
        return 1
    print(config, end="")
    if model["arch"] == "axlstm":
        print("# flip cannot be seen in the weights: if the model was trained without it, give --no-flip "
              "(the released configurations have flip: true)")
    print(f"# {len(tensors)} tensors, {sum(t.numel() for t in tensors.values()):,} numbers -> {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

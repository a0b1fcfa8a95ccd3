#!/usr/bin/env python3
"""Convert a PyTorch checkpoint of the authors' AxLSTM or SSAST code to a checkpoint folder.

The weights are loaded without running any code of the file (`weights_only=True`), the model's shape is
read off the tensors, and OUT_DIR receives `model.safetensors` (same tensor names, float32) and
`config.yaml` (the `model:` section). Needs only torch and safetensors.
"""

import argparse
import os
import pickle
import re
import sys
import tempfile
import warnings
from pathlib import Path

import torch
from safetensors.torch import save_file

SIZES = {  # name: (dim, depth, attention heads of SSAST)
    "tiny": (192, 12, 3), "small": (384, 12, 6), "medium": (512, 12, 8),
    "base": (768, 12, 12), "large": (1024, 24, 16), "huge": (1280, 32, 16),
}
MARKERS = {"axlstm": "blocks.0.layer.proj_up.weight", "ssast": "blocks.0.attn.qkv_layer.weight"}
CHOICES = {  # what no tensor shows
    "flip": {"true": True, "false": False},
    "input_gate": {"exponential": "exponential", "sigmoid": "sigmoid"},
}
# Plain attribute holders only: unpickling them runs nothing but their own empty constructor.
SAFE_CLASSES = [argparse.Namespace]


class ConversionError(Exception):
    """A failure that is reported as one line naming the file and the cause."""


def load(path: Path) -> dict[str, torch.Tensor]:
    """Return the model's state dict, without the prefixes that DDP and torch.compile add."""
    try:
        stream = path.open("rb")
    except OSError as error:
        raise ConversionError(error.strerror or str(error)) from None
    try:
        with stream, torch.serialization.safe_globals(SAFE_CLASSES), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(stream, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises depends on where the damage is
        found = re.search(r"GLOBAL (\S+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        if found is None:
            raise ConversionError("not a readable PyTorch checkpoint (damaged, cut short or another format)") from None
        raise ConversionError(
            f"refused: it refers to {found[1]}, and loading that could run code from the file; where you trust the "
            'file, save the weights alone with torch.save({"model": state_dict}, ...)') from None

    state = content.get("model", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not any(isinstance(value, torch.Tensor) for value in state.values()):
        raise ConversionError('holds neither a state dict nor a dict with one under "model"')
    tensors = {}
    for name, value in state.items():
        if not isinstance(value, torch.Tensor):
            raise ConversionError(f"the state dict's entry {name!r} is a {type(value).__name__}, not a tensor")
        name = re.sub(r"^(?:module\.|_orig_mod\.)+", "", str(name))
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


def infer(tensors: dict[str, torch.Tensor], arguments: argparse.Namespace) -> dict[str, object]:
    """Read the `model:` section off the tensors' shapes."""
    arch = next((arch for arch, marker in MARKERS.items() if marker in tensors), None)
    if arch is None:
        raise ConversionError(f"is neither AxLSTM nor SSAST: it holds none of {', '.join(MARKERS.values())}")
    if arguments.arch not in (None, arch):
        raise ConversionError(f"is a checkpoint of {arch}, not of {arguments.arch}")
    dim, _, patch_frames, patch_mels = expect(tensors, "patch_embed.proj.weight", None, 1, None, None)
    expect(tensors, "pos_embed", 1, None, dim)
    for name in ("cls_token", "mask_token"):
        expect(tensors, name, 1, 1, dim)
    for name in ("patch_embed.proj.bias", "encoder_norm.weight", "encoder_norm.bias", "pred.0.bias"):
        expect(tensors, name, dim)
    expect(tensors, "pred.0.weight", dim, dim)
    expect(tensors, "pred.2.weight", patch_frames * patch_mels, dim)

    found = {int(match[1]) for name in tensors if (match := re.match(r"blocks\.(\d+)\.", name))}
    depth = len(found)
    if found != set(range(depth)):
        raise ConversionError(f"block {min(set(range(max(found))) - found)} is missing")
    expansion = None
    for block in range(depth):
        marker = MARKERS[arch].replace(".0.", f".{block}.")
        if arch == "ssast":
            expect(tensors, marker, 3 * dim, dim)
            continue
        rows, _ = expect(tensors, marker, expansion and 2 * expansion * dim, dim)
        expansion, rest = divmod(rows, 2 * dim)
        if rest or not expansion:
            raise ConversionError(f"tensor {marker} has {rows} rows, not a multiple of twice the width {dim}")

    size = next((name for name, (d, n, _) in SIZES.items() if (d, n) == (dim, depth)), "custom")
    model: dict[str, object] = {"arch": arch, "size": size}
    if size == "custom":
        model |= {"dim": dim, "depth": depth}
    if arch == "axlstm":
        model |= {"expansion": expansion, "flip": arguments.flip, "input_gate": "exponential"}
    elif size == "custom":
        if arguments.attention_heads is None:
            raise ConversionError(f"SSAST of width {dim} and depth {depth} is no standard size: give --attention-heads")
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
    parser.add_argument("checkpoint", type=Path, metavar="model.pth")
    parser.add_argument("out", type=Path, metavar="OUT_DIR")
    parser.add_argument("--arch", choices=tuple(MARKERS), help="fail unless the checkpoint is of this architecture")
    parser.add_argument("--flip", action=argparse.BooleanOptionalAction, default=True,
                        help="whether odd AxLSTM layers run backwards in time; the weights do not tell (default: flip)")
    parser.add_argument("--attention-heads", type=int, help="heads of an SSAST of no standard size")
    parser.add_argument("--config", nargs="+", action="extend", default=[], metavar="key=value",
                        help="set what the weights do not tell, or check what they do")
    arguments = parser.parse_args(argv)
    subject = arguments.checkpoint
    try:
        tensors = load(subject)
        model = infer(tensors, arguments)
        override(model, arguments.config)
        config, subject = to_yaml(model), arguments.out
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

"""AudioMAE (Huang et al., 2022) and SSAST (Gong et al., 2022): vision transformers over patches of Kaldi's filterbank.

Written from their papers' formulas; weights are those of the authors' checkpoints, under timm's names.
"""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from axlstm.export import Encoder

MELS, FRAMES = 128, 1024
HEAD = 64
"""Width of a head of attention in all vision transformers of these sizes."""
MEAN, DEVIATION = -4.2677393, 4.5689974
FBANK = {"window": "hanning", "remove_mean": True, "mean": MEAN, "std": 2 * DEVIATION}


class Attention(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.heads = dim // HEAD
        self.qkv, self.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind()
        return self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(dim, 4 * dim), nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim: int) -> None:
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(dim, eps=1e-6), Attention(dim)
        self.norm2, self.mlp = nn.LayerNorm(dim, eps=1e-6), Mlp(dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class PatchEncoder(nn.Module):
    """Features [B, L, 128] → [B, steps, D]: the tokens of the last norm, the mean over the patches of a time step.

    Longer clips are cut into pieces of 1024 frames. `pads`: pieces are filled up to 1024 frames as silence is in training;
    else a shorter one gets the positions in the middle, and frames that fill no patch are dropped.
    """

    def __init__(self, kernel: Tensor, bias: Tensor, classes: Tensor, positions: Tensor, class_positions: Tensor, depth: int, pads: bool) -> None:
        """kernel [D, 1, frames, mels]; classes, class_positions [1, n, D]; positions [1, D, steps, patches of a step]."""
        super().__init__()
        dim = kernel.shape[0]
        self.pads, self.frames, self.patch, self.bands = pads, FRAMES, kernel.shape[2], kernel.shape[3]
        self.silence = -MEAN / (2 * DEVIATION)
        self.kernel, self.bias, self.positions = nn.Parameter(kernel), nn.Parameter(bias), nn.Parameter(positions)
        self.classes = nn.Parameter(classes + class_positions)
        self.blocks = nn.ModuleList(Block(dim) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def piece(self, x: Tensor) -> Tensor:
        steps = (x.size(1) + self.patch - 1) // self.patch
        if self.pads:
            x = F.pad(x, [0, 0, 0, self.frames - x.size(1)], value=self.silence)
        patches = F.conv2d(x.unsqueeze(1), self.kernel, self.bias, stride=(self.patch, self.bands))  # [B, D, steps, 8]
        first = self.positions.size(2) // 2 - patches.size(2) // 2
        patches = patches + self.positions[:, :, first : first + patches.size(2)]
        tokens = torch.cat([self.classes.expand(x.size(0), -1, -1), patches.flatten(2).transpose(1, 2)], 1)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)[:, self.classes.size(1) :]
        return tokens.unflatten(1, (patches.size(2), patches.size(3))).mean(2)[:, :steps]

    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = []
        for first in range(0, x.size(1), self.frames):
            part = x[:, first : first + self.frames]
            if self.pads or part.size(1) >= self.patch:
                found.append(self.piece(part))
        return torch.cat(found, 1)


def patch_encoder(state: dict[str, Tensor], frequency_first: bool, pads: bool) -> PatchEncoder:
    """`state`: under timm's names. `frequency_first`: patches are numbered frequency by frequency, in images [mels, frames].

    Raises KeyError or RuntimeError naming the tensor that is missing or does not fit.
    """
    kernel, positions = state["patch_embed.proj.weight"], state["pos_embed"]
    classes = torch.cat([state[name] for name in ("cls_token", "dist_token") if name in state], 1)
    kernel = kernel.transpose(2, 3) if frequency_first else kernel  # → [D, 1, frames, mels]
    steps, bands = FRAMES // kernel.shape[2], MELS // kernel.shape[3]
    n = classes.shape[1]
    if positions.shape[1] != n + steps * bands:
        raise RuntimeError(f"pos_embed has {positions.shape[1]} positions; clips of {FRAMES} frames have {n + steps * bands}")
    grid = (bands, steps) if frequency_first else (steps, bands)
    grid_positions = positions[:, n:].unflatten(1, grid).permute(0, 3, *((2, 1) if frequency_first else (1, 2)))
    depth = 1 + max(int(found[1]) for name in state if (found := re.match(r"blocks\.(\d+)\.", name)))
    encoder = PatchEncoder(kernel.contiguous(), state["patch_embed.proj.bias"], classes, grid_positions.contiguous(), positions[:, :n], depth, pads)
    own = {name for name, _ in encoder.named_parameters() if name.startswith(("blocks.", "norm."))}
    encoder.load_state_dict({name: state[name] for name in own}, strict=False)
    return encoder


def read_state(weights: str, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a checkpoint whose names begin with `prefix`, without it."""
    if not weights:
        raise ValueError("--weights is missing: a checkpoint of the authors")
    content = torch.load(weights, map_location="cpu", weights_only=True)
    state = content.get("model", content)
    found = {name.removeprefix("module.").removeprefix(prefix): value for name, value in state.items()
             if name.removeprefix("module.").startswith(prefix)}
    if "patch_embed.proj.weight" not in found:
        raise ValueError(f"{weights}: holds no {prefix}patch_embed.proj.weight; its tensors: {', '.join(list(state)[:5])} …")
    return found


def _encoder(weights: str, name: str, prefix: str, frequency_first: bool, pads: bool) -> Encoder:
    try:
        module = patch_encoder(read_state(weights, prefix), frequency_first, pads)
    except KeyError as missing:
        raise ValueError(f"{weights}: holds no {prefix}{missing.args[0]}") from None
    except RuntimeError as reason:
        raise ValueError(f"{weights}: {reason}") from None
    shortest = 400 if pads else 400 + (module.patch - 1) * 160
    return Encoder(module, f"{name} {weights}", min_samples=shortest, step_ms=10.0 * module.patch, kaldi_fbank=FBANK, scripted=True)


def audiomae(weights: str) -> Encoder:
    """`weights`: a checkpoint of the authors' pre-training (pretrained.pth)."""
    return _encoder(weights, "AudioMAE", "", frequency_first=False, pads=True)


def ssast(weights: str) -> Encoder:
    """`weights`: a checkpoint of the authors' pre-training, of patches or frames (SSAST-Base-Patch-400.pth)."""
    return _encoder(weights, "SSAST", "v.", frequency_first=True, pads=False)

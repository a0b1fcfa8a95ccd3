"""PaSST (Koutini et al., 2022), of the package hear21passt: what its module hear21passt.base does."""

from __future__ import annotations

import importlib

import torch
from torch import Tensor, nn

from axlstm.export import Encoder, Windows

ARCHITECTURE = "passt_s_swa_p16_128_ap476"


class Passt(nn.Module):
    """Logits and features of mel spectrograms [B, frames, 128] of up to 10 s → [B, 1, 527 + 768]."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, mel: Tensor) -> Tensor:
        return torch.cat(self.net(mel.transpose(1, 2).unsqueeze(1)), -1).unsqueeze(1)


def passt(weights: str) -> Encoder:
    """`weights`: a state dict of its network; without it the package downloads its own."""
    models = importlib.import_module("hear21passt.models.passt")
    if weights:
        net = models.get_model(arch=ARCHITECTURE, pretrained=False)
        net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    else:
        net = models.get_model(arch=ARCHITECTURE)
    # The shortest clip has the 16 frames of one patch.
    return Encoder(Passt(net.cpu()), f"PaSST {weights or ARCHITECTURE}", 32000, min_samples=15 * 320 + 1, step_ms=50.0,
                   passt_mel={}, windows=Windows(160.0, scene_ms=10000.0, scene_step_ms=2500.0))

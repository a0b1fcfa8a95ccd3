"""Any module with HEAR's common API whose code can be traced."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch
from torch import Tensor, nn

from axlstm.export import Encoder, ExportError, difference

SAME_SCENE = 1e-4
"""Of the largest value: how far a scene may be from the mean of the time steps to count as that."""


class HearModule(nn.Module):
    def __init__(self, functions: ModuleType, model: nn.Module) -> None:
        super().__init__()
        self.functions, self.model = functions, model

    def forward(self, x: Tensor) -> Tensor:
        return self.functions.get_timestamp_embeddings(x, self.model)[0]


class HearModuleWithScenes(HearModule):
    def scene(self, x: Tensor) -> Tensor:
        return self.functions.get_scene_embeddings(x, self.model)


def hear_module(name: str, weights: str = "", min_samples: int | None = None) -> Encoder:
    """`weights`: what load_model is given; `min_samples`: of the shortest clip that it is to take, 0.1 s unless given. Raises
    ExportError if its time steps are not equal or not in milliseconds."""
    functions = importlib.import_module(name)
    model = functions.load_model(weights) if weights else functions.load_model()
    if not isinstance(model, nn.Module):
        raise ExportError(f"{name}: load_model gives a {type(model).__name__}, not a torch.nn.Module")
    model = model.cpu().eval()
    rate = int(model.sample_rate)
    clip = 0.1 * torch.randn(1, 4 * rate, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        embeddings, times = functions.get_timestamp_embeddings(clip, model)
        scene = functions.get_scene_embeddings(clip, model)
    times = times[0].double()
    steps = times.diff()
    if len(times) < 2 or (steps - steps.mean()).abs().max() > 1:
        raise ExportError(f"{name}: the times of a clip of 4 s are not in equal steps: {times[:5].tolist()} …")
    if not 2000 < times[-1] <= 4500:
        raise ExportError(f"{name}: the times of a clip of 4 s end at {times[-1]:.6g}; HEAR's are milliseconds")
    own = difference(scene, embeddings.mean(1)) > SAME_SCENE
    module = (HearModuleWithScenes if own else HearModule)(functions, model)
    return Encoder(module, f"{name} {weights}".strip(), rate, min_samples or rate // 10, times[0].item(), steps.mean().item())

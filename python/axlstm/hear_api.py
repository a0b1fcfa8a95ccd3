"""HEAR's common API (Turian et al., 2022; https://hearbenchmark.com/hear-api.html)."""

from __future__ import annotations

import os

import torch
from torch import Tensor

from axlstm.encoder import Encoder, load


def load_model(model_file_path: str = "", **options: object) -> Encoder:
    """Opens what axlstm.load() opens. The path may also be named by the environment variable AXLSTM_MODEL."""
    name = model_file_path or os.environ.get("AXLSTM_MODEL", "")
    if not name:
        raise ValueError("load_model needs the folder of a run or checkpoint: as its argument, or in AXLSTM_MODEL")
    return load(name, **options)


def get_timestamp_embeddings(audio: Tensor, model: Encoder) -> tuple[Tensor, Tensor]:
    """Embeddings [n, S, W] of clips [n, samples] at model.sample_rate, and their times [n, S] in milliseconds."""
    _check(audio, model)
    clips = model.encode_all(audio)
    return torch.stack([clip.timestamps for clip in clips]), torch.stack([clip.times_ms for clip in clips])


def get_scene_embeddings(audio: Tensor, model: Encoder) -> Tensor:
    """Embeddings [n, W] of clips [n, samples] at model.sample_rate."""
    _check(audio, model)
    return model(audio)


def _check(audio: Tensor, model: Encoder) -> None:
    if not isinstance(model, Encoder):
        raise TypeError(f"model is a {type(model).__name__}, it must come from axlstm.load_model()")
    if audio.ndim != 2:
        raise ValueError(f"audio is {tuple(audio.shape)}, it must be [clips, samples], mono")

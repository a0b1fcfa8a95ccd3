"""Encoders on MAEB, the audio tasks of the package mteb (2.26; pip install "mteb[audio]").

    import axlstm.mteb, mteb
    model = axlstm.mteb.load("runs/axlstm_tiny")                     # what axlstm.load() takes, with its options
    mteb.evaluate(model, mteb.get_benchmark("MAEB(v1, audio-only)").tasks)

Clips arrive whole, at their own rate; they are brought to the encoder's as `extract` does, not as mteb's AudioCollator
does, and are embedded without padding: a clip's numbers are those of axlstm.load(…).encode, whatever the batch.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from mteb.models import ModelMeta
from mteb.models.abs_encoder import AbsEncoder
from tqdm.auto import tqdm

from axlstm.encoder import load as open_encoder
from axlstm.encoder import resample

if TYPE_CHECKING:
    from mteb import TaskMetadata
    from mteb.types import BatchedInput, PromptType
    from torch import Tensor
    from torch.utils.data import DataLoader


class AudioEncoder(AbsEncoder):
    """What mteb calls. Made by load() or by the metadata's load_model()."""

    def __init__(
        self, model_name: str | None = None, revision: str | None = None, *, device: str | None = None, model: str, **options: Any
    ) -> None:
        if device is not None:
            options["device"] = device
        self.encoder = open_encoder(model, **options)
        found = hashlib.sha256(self.encoder.description.encode()).hexdigest()[:16]
        if revision not in (None, found):
            raise ValueError(f"{model} is revision {found} ({self.encoder.description}), its metadata says {revision}")
        self.mteb_model_meta = ModelMeta(
            loader=AudioEncoder,
            loader_kwargs={"model": model, **options},
            name=model_name or _name_of(model),
            revision=found,  # mteb takes scores that it has of a name and revision without asking the model
            embed_dim=self.encoder.scene_embedding_size,
            modalities=["audio"],
            similarity_fn_name="cosine",
            framework=["PyTorch"],
            use_instructions=False,
            max_tokens=None,
            languages=None,
            release_date=None,
            n_parameters=None,
            memory_usage_mb=None,
            license=None,
            open_weights=None,
            public_training_code=None,
            public_training_data=None,
            training_datasets=None,
        )

    def encode(
        self,
        inputs: DataLoader[BatchedInput],
        *,
        task_metadata: TaskMetadata,
        hf_split: str,
        hf_subset: str,
        prompt_type: PromptType | None = None,
        show_progress_bar: bool = True,
        precision: str = "float32",
        **_: Any,
    ) -> np.ndarray:
        """Scene embeddings [n, W] float32. Raises ValueError for a task of something else than sound, for embeddings in
        another precision, and naming the task, split and place of a clip that cannot be embedded."""
        if precision != "float32":
            raise ValueError(f"precision is '{precision}', embeddings are float32; the model's is an option of load()")
        inputs.collate_fn = _sounds
        embeddings: list[np.ndarray] = []
        for clips in tqdm(inputs, disable=not show_progress_bar, desc=f"Embedding {task_metadata.name}"):
            try:
                waveforms = [resample(samples, rate, self.encoder.sample_rate) for samples, rate in clips]
                embeddings += [scene.numpy() for scene in self.encoder.scenes(waveforms)]
            except (RuntimeError, ValueError) as reason:
                first = len(embeddings)
                place = f"{task_metadata.name}, {hf_subset}, {hf_split}, among clips {first} to {first + len(clips) - 1}"
                raise ValueError(f"{place}: {reason}") from reason
        return np.stack(embeddings) if embeddings else np.empty((0, self.encoder.scene_embedding_size), np.float32)


def load(model: str | os.PathLike[str], *, model_name: str | None = None, **options: Any) -> AudioEncoder:
    """Opens what axlstm.load() opens, with its options, for mteb.evaluate(). model_name: under which mteb keeps scores,
    "organization/model"; "axlstm/" and the file's or folder's name unless given."""
    return AudioEncoder(model_name, model=os.fspath(model), **options)


def meta(model: str | os.PathLike[str], *, model_name: str | None = None, **options: Any) -> ModelMeta:
    """What mteb is told of the model; its load_model() opens it, and refuses another one that has taken its place.

    Parameters, licence and training data are not filled in: meta(…).model_copy(update={"training_datasets": {"AudioSet"}}).
    """
    return load(model, model_name=model_name, **options).mteb_model_meta


def _name_of(model: str) -> str:
    return "axlstm/" + re.sub(r"[^\w.-]+", "-", re.split(r"[/:]", model.rstrip("/"))[-1])


def _sounds(rows: list[dict[str, Any]]) -> list[tuple[Tensor, int]]:
    """Samples [T], channels averaged as in decode(), and rate of each row. Runs in the loader's processes."""
    clips = []
    for row in rows:
        if "audio" not in row:
            raise ValueError(f"axlstm embeds sound, this task has {', '.join(row)}")
        samples = torch.as_tensor(np.asarray(row["audio"]["array"]), dtype=torch.float32)
        clips.append((samples.mean(0) if samples.ndim == 2 else samples, int(row["audio"]["sampling_rate"])))
    return clips

"""Embeddings of audio by AxLSTM, SSAM, SSAST and masked autoencoders, computed by the C++ library of this project.

    import axlstm
    encoder = axlstm.load("runs/axlstm_tiny")          # a run, a checkpoint, "naive", "random:CONFIG.yaml", "module:FOLDER"
    clip = encoder.encode(waveform)                     # [samples] at encoder.sample_rate
    clip.scene, clip.timestamps, clip.times_ms          # [W], [S, W], [S]

    classifier = axlstm.load_classifier("runs/classifier")  # of finetune
    classifier.classify(waveform)                        # [("dog", 0.93), …]

The functions of HEAR's common API are here too: load_model, get_scene_embeddings, get_timestamp_embeddings. Operators
for models of your own are in axlstm.ops.
"""

from axlstm import _spinning

_spinning.import_torch()  # before what follows imports it

from axlstm import ops
from axlstm.classifier import Classifier, load_classifier
from axlstm.encoder import Embedding, Encoder, decode, load, resample, state_dict
from axlstm.hear_api import get_scene_embeddings, get_timestamp_embeddings, load_model

__all__ = [
    "Classifier",
    "Embedding",
    "Encoder",
    "decode",
    "get_scene_embeddings",
    "get_timestamp_embeddings",
    "load",
    "load_classifier",
    "load_model",
    "ops",
    "resample",
    "state_dict",
]

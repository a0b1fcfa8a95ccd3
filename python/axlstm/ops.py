"""Operators of this project for models of your own, on the CPU and on GPUs, with exact gradients."""

import torch
from torch import Tensor

from axlstm import _library  # noqa: F401 (registers them)


def mlstm(q: Tensor, k: Tensor, v: Tensor, i: Tensor, f: Tensor, input_gate: str = "exponential", eps: float = 1e-6) -> Tensor:
    """The mLSTM cell of xLSTM in its stabilised parallel form.

    q, k, v: [B, S, heads, head width] of one dtype; i, f: [B, S, heads] gate preactivations, best float32.
    input_gate: "exponential" or "sigmoid". Returns h, shaped like q. Raises RuntimeError for shapes that do not fit.
    """
    return torch.ops.axlstm.mlstm(q, k, v, i, f, input_gate, eps)


def selective_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor
) -> Tensor:
    """The selective scan of Mamba with its softplus, skip and gate.

    u, delta, z: [B, S, I]; A: [I, N], below 0; B, C: [B, S, N]; D, delta_bias: [I]. Returns y [B, S, I] in u's dtype.
    Tokens come before channels, other than in mamba-ssm. Raises RuntimeError for shapes that do not fit.
    """
    return torch.ops.axlstm.selective_scan(u, delta, A, B, C, D, z, delta_bias)


def kaldi_fbank(
    waveform: Tensor,
    sample_rate: int = 16000,
    mels: int = 128,
    window: str = "povey",
    remove_mean: bool = False,
    scale: float = 1.0,
    mean: float = 0.0,
    std: float = 1.0,
) -> Tensor:
    """Kaldi's log-mel filterbank, 25 ms every 10 ms, as torchaudio.compliance.kaldi.fbank computes it without dither.

    waveform: [..., T], at least a frame. remove_mean: of the whole waveform; scale: of it; window: "povey" or "hanning".
    Returns [..., frames, mels], (f - mean) / std. Raises RuntimeError for a shorter clip.
    """
    return torch.ops.axlstm.kaldi_fbank(waveform, sample_rate, mels, window, remove_mean, scale, mean, std)


def passt_mel(waveform: Tensor, hop: int = 320, f_max_hz: float = 15000.0) -> Tensor:
    """The log-mel spectrogram that PaSST is fed with, as hear21passt computes it.

    waveform: [..., T] at 32 kHz, T > 513; hop: samples from frame to frame. Returns [..., 1 + (T - 1) // hop, 128].
    Raises RuntimeError for a shorter clip.
    """
    return torch.ops.axlstm.passt_mel(waveform, hop, f_max_hz)

"""Times whole training steps of MW-MAE and MAE in PyTorch, compiled: the formulas of docs/mae.md, AdamW fused. Run right
after `bench steps --models mwmae-tiny,mwmae-base,mae-base` on the same machine; records have its format.

Usage: mae_peer.py [--models mwmae-tiny,mwmae-base,mae-base] [--batch 1024] [--attention windows|mask] [--eager] [--json FILE]

`windows` are products window by window, for each head of its own; `mask` is one scaled_dot_product_attention of all heads
with a bias [NH, S, S] that is minus infinity outside of windows.
"""

import argparse
import json
import math
import statistics
import time

import torch
import torch.nn.functional as F
from torch import nn

FRAMES, MELS, PATCH = 200, 80, (4, 16)
TOKENS, PIXELS = FRAMES // PATCH[0] * (MELS // PATCH[1]), PATCH[0] * PATCH[1]
SIZES = {"tiny": (192, 12, 3), "small": (384, 12, 6), "base": (768, 12, 12)}  # width, depth, heads
WINDOWS = (2, 5, 10, 25, 50, 125, 0, 0)  # of the decoder's heads; 0: all tokens
RATIO = 0.8


class Attention(nn.Module):
    """Heads attend to all tokens, or each within windows of its own, with a bias for each distance."""

    def __init__(self, width, windows, by_mask):
        super().__init__()
        self.windows, self.by_mask = windows, by_mask
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.tables = nn.ParameterList(nn.Parameter(torch.randn(2 * w - 1) * 0.02) for w in windows if w > 0)
        if any(windows) and by_mask:
            token = torch.arange(TOKENS)
            for n, w in enumerate(filter(None, windows)):
                self.register_buffer(f"distances{n}", (token[:, None] - token + w - 1).clamp(0, 2 * w - 2))
                self.register_buffer(f"together{n}", token[:, None] // w == token // w)

    def bias(self, table, window):
        token = torch.arange(window, device=table.device)
        return table[token[:, None] - token + window - 1]

    def masked(self, q, k, v):
        biases, at = [], 0
        for window in self.windows:
            if window > 0:
                distances, together = getattr(self, f"distances{at}"), getattr(self, f"together{at}")
                biases.append(self.tables[at][distances].masked_fill(~together, -torch.inf))
                at += 1
            else:
                biases.append(torch.zeros(TOKENS, TOKENS, device=q.device))
        return F.scaled_dot_product_attention(q, k, v, attn_mask=torch.stack(biases).to(q.dtype))

    def windowed(self, q, k, v):
        mixed, at = [], 0
        for window, *qkv in zip(self.windows, q.unbind(1), k.unbind(1), v.unbind(1), strict=True):  # [B, S, DH]
            if window > 0:
                a, b, c = (x.unflatten(1, (-1, window)) for x in qkv)
                scores = (a @ b.transpose(-1, -2)).float() / math.sqrt(q.shape[-1]) + self.bias(self.tables[at], window)
                mixed.append((scores.softmax(-1).to(c.dtype) @ c).flatten(1, 2))
                at += 1
            else:
                mixed.append(F.scaled_dot_product_attention(*(x.unsqueeze(1) for x in qkv)).squeeze(1))
        return torch.stack(mixed, 1)

    def forward(self, x):
        q, k, v = (y.unflatten(-1, (len(self.windows), -1)).transpose(1, 2) for y in self.qkv(x).chunk(3, -1))
        attend = F.scaled_dot_product_attention if not any(self.windows) else self.masked if self.by_mask else self.windowed
        return self.proj(attend(q, k, v).transpose(1, 2).flatten(-2))


class Block(nn.Module):
    def __init__(self, width, windows, by_mask=False):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, windows, by_mask)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU("tanh"), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class MaskedAutoencoder(nn.Module):
    def __init__(self, size, windows, by_mask, width=384, depth=4):
        super().__init__()
        dim, layers, heads = SIZES[size]
        self.classes = 0 if any(windows) else 1
        self.embed, self.decoder_embed = nn.Linear(PIXELS, dim), nn.Linear(dim, width)
        self.positions = nn.Parameter(torch.randn(TOKENS, dim) * 0.02)
        self.decoder_positions = nn.Parameter(torch.randn(self.classes + TOKENS, width) * 0.02)
        self.token, self.mask_token = nn.Parameter(torch.zeros(1, 1, dim)), nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.Sequential(*(Block(dim, (0,) * heads) for _ in range(layers)))
        self.norm, self.decoder_norm = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.decoder_blocks = nn.Sequential(*(Block(width, windows, by_mask) for _ in range(depth)))
        self.pred = nn.Linear(width, PIXELS)

    def forward(self, spectrogram, noise):
        batch, kept = len(spectrogram), TOKENS - round(RATIO * TOKENS)
        grid = spectrogram.view(batch, FRAMES // PATCH[0], PATCH[0], MELS // PATCH[1], PATCH[1])
        pixels = grid.transpose(2, 3).reshape(batch, TOKENS, PIXELS)
        order = noise.argsort(1)
        places = order.argsort(1)
        visible, hidden = order[:, :kept], order[:, kept:]

        def rows(x, which):
            return x.gather(1, which.unsqueeze(-1).expand(-1, -1, x.shape[-1]))

        x = self.embed(rows(pixels, visible)) + self.positions[visible]
        if self.classes:
            x = torch.cat([self.token.expand(batch, -1, -1).to(x.dtype), x], 1)
        y = self.decoder_embed(self.norm(self.blocks(x)))
        masks = self.mask_token.to(y.dtype).expand(batch, TOKENS - kept, -1)
        tokens = rows(torch.cat([y[:, self.classes:], masks], 1), places)
        if self.classes:
            tokens = torch.cat([y[:, :1], tokens], 1)
        decoded = self.decoder_blocks(tokens + self.decoder_positions)[:, self.classes:]
        prediction = self.pred(self.decoder_norm(rows(decoded, hidden)))
        return (prediction.float() - rows(pixels, hidden)).square().mean()


def median_ms(work, device, runs):
    """Median of `runs` timed calls after three that are not."""
    times = []
    for n in range(runs + 3):
        begin = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if n >= 3:
            times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default="mwmae-tiny,mwmae-base,mae-base")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--attention", default="windows", choices=["windows", "mask"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--eager", action="store_true")
    parser.add_argument("--json", help="append records to this file")
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = True
    for name in args.models.split(","):
        arch, size = name.split("-")
        torch.manual_seed(1)
        windows = WINDOWS if arch == "mwmae" else (0,) * len(WINDOWS)
        model = MaskedAutoencoder(size, windows, args.attention == "mask").to(args.device)
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, (0.9, 0.999), weight_decay=0.05, fused=True)
        forward = model if args.eager else torch.compile(model)
        spectrogram = torch.randn(args.batch, 1, FRAMES, MELS, device=args.device)
        noise = torch.rand(args.batch, TOKENS, device=args.device)
        losses = []

        def step(forward=forward, optimizer=optimizer, spectrogram=spectrogram, noise=noise, losses=losses):
            with torch.autocast(args.device, torch.bfloat16):
                loss = forward(spectrogram, noise)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            losses.append(loss.item())

        if args.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        ms = median_ms(step, args.device, args.runs)
        if not math.isfinite(losses[-1]):
            raise SystemExit(f"{name}: the loss is {losses[-1]}")
        record = {"model": name, "dtype": "bf16", "peer": f"PyTorch {torch.__version__} {'eager' if args.eager else 'compiled'}",
                  "attention": args.attention, "batch": args.batch, "ms": round(ms, 3),
                  "clips_per_second": round(args.batch / ms * 1e3, 1), "loss": round(losses[-1], 6)}
        if args.device == "cuda":
            record = {"gpu": torch.cuda.get_device_name(), **record,
                      "peak_memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 3)}
        print(json.dumps(record), flush=True)
        if args.json:
            with open(args.json, "a", encoding="utf-8") as out:
                out.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

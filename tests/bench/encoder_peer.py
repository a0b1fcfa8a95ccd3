"""Times the AxLSTM encoder in PyTorch, eager: the formulas of docs/kernel.md through one operator after the other, as the
paper's code computes them. Records have the format of docs/benchmarks/extract.jsonl.

Usage: encoder_peer.py [--device cpu] [--size tiny] [--expansion 2] [--dtype float32] [--batches 1,4,16] [--json FILE]

`dtype` float16 and bfloat16 are autocast, as in the paper's code. Chunks are 200 x 80 spectrograms; weights are random: speed
does not depend on them.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from peers import HEADS, mlstm
from torch import nn

KERNEL, BLOCK = 4, 4
WIDTHS = {"tiny": 192, "small": 384, "base": 768}


class Block(nn.Module):
    def __init__(self, width, expansion, reverse):
        super().__init__()
        inner = expansion * width
        self.reverse = reverse
        self.norm = nn.LayerNorm(width, bias=False)
        self.up = nn.Linear(width, 2 * inner, bias=False)
        self.conv = nn.Conv1d(inner, inner, KERNEL, groups=inner)
        self.q, self.k, self.v = (nn.Parameter(torch.randn(inner // BLOCK, BLOCK, BLOCK) * 0.1) for _ in range(3))
        self.igate, self.fgate = nn.Linear(3 * inner, HEADS), nn.Linear(3 * inner, HEADS)
        self.outnorm = nn.GroupNorm(HEADS, inner)
        self.skip = nn.Parameter(torch.ones(inner))
        self.down = nn.Linear(inner, width, bias=False)

    def forward(self, x):
        u = self.norm(x)
        u = u.flip(1) if self.reverse else u
        a, z = self.up(u).chunk(2, -1)
        c = F.silu(self.conv(F.pad(a.transpose(1, 2), (KERNEL - 1, 0)))).transpose(1, 2)

        def blocks(y, weight):
            return torch.einsum("bshd,hod->bsho", y.unflatten(-1, (-1, BLOCK)), weight.to(y.dtype)).flatten(-2)

        q, k, v = blocks(c, self.q), blocks(c, self.k), blocks(a, self.v)
        gates = torch.cat([q, k, v], -1)
        heads = [y.unflatten(-1, (HEADS, -1)).transpose(1, 2) for y in (q, k, v)]
        h = mlstm(*heads, self.igate(gates).float().transpose(1, 2), self.fgate(gates).float().transpose(1, 2))
        h = h.transpose(1, 2).flatten(-2)
        h = self.outnorm(h.flatten(0, 1)).view_as(h)
        y = self.down((h + self.skip * c) * F.silu(z))
        return x + (y.flip(1) if self.reverse else y)


class Encoder(nn.Module):
    def __init__(self, size, expansion, depth=12, frames=200, mels=80, patch=(4, 16)):
        super().__init__()
        width = WIDTHS[size]
        tokens = (frames // patch[0]) * (mels // patch[1])
        self.patches = nn.Conv2d(1, width, patch, patch)
        self.positions = nn.Parameter(torch.randn(1, tokens + 1, width) * 0.02)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.blocks = nn.ModuleList(Block(width, expansion, n % 2 == 1) for n in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def seconds(work, device, runs):
    """Median of `runs` timed calls after one that is not."""
    times = []
    for n in range(runs + 1):
        begin = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        if n > 0:
            times.append(time.perf_counter() - begin)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--size", default="tiny", choices=WIDTHS)
    parser.add_argument("--expansion", type=int, default=2)
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--batches", default="1,4,16")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    encoder = Encoder(args.size, args.expansion).to(args.device).eval()
    dtype = getattr(torch, args.dtype)
    for batch in map(int, args.batches.split(",")):
        chunks = torch.randn(batch, 1, 200, 80, device=args.device)

        def work(chunks=chunks):
            with torch.no_grad(), torch.autocast(args.device, dtype, enabled=dtype != torch.float32):
                encoder(chunks)

        rate = batch / seconds(work, args.device, args.runs)
        record = {"model": f"axlstm-{args.size}-E{args.expansion}", "device": args.device, "dtype": args.dtype, "part": "encoder",
                  "peer": f"PyTorch {torch.__version__} eager", "batch": batch, "threads": torch.get_num_threads(),
                  "chunks_per_second": round(rate, 2)}
        print(json.dumps(record), flush=True)
        if args.json:
            with args.json.open("a", encoding="utf-8") as out:
                out.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

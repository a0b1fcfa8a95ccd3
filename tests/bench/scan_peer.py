"""Times the selective scan by this project's kernels and by mamba-ssm's (selective_scan_cuda) in one run, and compares
their results with float64. Records have the format of docs/benchmarks/scans.jsonl.

Usage: scan_peer.py LIBRARY [--mamba FOLDER] [--shapes 256x251x576x24,...] [--dtype bf16] [--device cuda] [--json FILE]

LIBRARY is libaxlstm_torch.so. FOLDER is an unpacked source distribution of mamba-ssm, whose extension is built here for
this GPU alone (six minutes); the package itself is not needed:
  MAMBA_SKIP_CUDA_BUILD=TRUE pip download --no-deps --no-binary :all: --no-build-isolation mamba_ssm==2.3.2.post1
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch
import torch.nn.functional as F

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def draw(batch, length, width, states, dtype, device):
    """Inputs of a model that has just begun to learn, in this project's layout, and the gradient of its output."""
    torch.manual_seed(0)
    def tokens(n): return torch.randn(batch, length, n, device=device).to(dtype)
    rates = -torch.arange(1.0, states + 1, device=device).repeat(width, 1)
    inputs = [tokens(width), 0.5 * tokens(width), rates, tokens(states), tokens(states),
              torch.ones(width, device=device), tokens(width), torch.full((width,), -4.0, device=device)]
    return inputs, tokens(width)


def formula(u, delta, A, B, C, D, z, delta_bias):
    step = F.softplus(delta + delta_bias)
    h = torch.zeros_like(u[:, 0]).unsqueeze(-1) * A
    y = []
    for s, inflow, b, c in zip(step.unbind(1), (step * u).unbind(1), B.unbind(1), C.unbind(1)):
        h = (s.unsqueeze(-1) * A).exp() * h + inflow.unsqueeze(-1) * b.unsqueeze(1)
        y.append((h * c.unsqueeze(1)).sum(-1))
    return (torch.stack(y, 1) + D * u) * F.silu(z)


class Ours:
    name = "axlstm"

    def __init__(self, library):
        torch.ops.load_library(library)

    def forward(self, inputs):
        with torch.no_grad():
            return torch.ops.axlstm.selective_scan(*inputs)

    def both(self, inputs, gradient):
        leaves = [x.detach().requires_grad_() for x in inputs]
        y = torch.ops.axlstm.selective_scan(*leaves)
        y.backward(gradient)
        return [y.detach()] + [x.grad for x in leaves]


class Mamba:
    """Its tensors are [B, channels, S]: it is timed on such ones, without the transposes that a model of tokens needs."""

    name = "mamba-ssm"

    def __init__(self, folder):
        from torch.utils.cpp_extension import load

        source = Path(folder) / "csrc" / "selective_scan"
        files = [str(path) for pattern in ("*.cpp", "*.cu") for path in sorted(source.glob(pattern))]
        undefined = [f"-U__CUDA_NO_{what}__" for what in ("HALF_OPERATORS", "HALF_CONVERSIONS", "BFLOAT16_OPERATORS",
                                                          "BFLOAT16_CONVERSIONS", "BFLOAT162_OPERATORS",
                                                          "BFLOAT162_CONVERSIONS")]
        flags = ["-O3", "-std=c++20", "--expt-relaxed-constexpr", "--expt-extended-lambda", "--use_fast_math", *undefined]
        began = time.time()
        self.module = load("selective_scan_cuda", files, extra_include_paths=[str(source)], extra_cflags=["-O3", "-std=c++20"],
                           extra_cuda_cflags=flags)
        print(f"mamba-ssm's extension was built in {time.time() - began:.0f} s")

    @staticmethod
    def turned(inputs):
        u, delta, A, B, C, D, z, bias = inputs
        def rows(x): return x.transpose(1, 2).contiguous()
        return [rows(u), rows(delta), A, rows(B).unsqueeze(1), rows(C).unsqueeze(1), D, rows(z), bias]

    def forward(self, inputs):
        return self.module.fwd(*inputs, True)[2]

    def both(self, inputs, gradient):
        out, x, y = self.module.fwd(*inputs, True)
        du, ddelta, dA, dB, dC, dD, dbias, dz = self.module.bwd(*inputs, gradient, x, out, None, True, False)
        return [y, du, ddelta, dA, dB, dC, dD, dz, dbias]

    @staticmethod
    def turned_back(results):
        return [x.squeeze(1).transpose(1, 2) if x.dim() > 2 else x for x in results]


def milliseconds(work, device, runs=20):
    """Median of `runs` timed calls after three that are not."""
    times = []
    for n in range(runs + 3):
        if device == "cuda":
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            work()
            end.record()
            end.synchronize()
            times.append(begin.elapsed_time(end))
        else:
            begin = time.perf_counter()
            work()
            times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times[3:])


def errors(results, exact):
    """Of y and each gradient: the root mean square of the difference over that of the exact values."""
    return {name: ((x.double() - e).norm() / e.norm()).item() for name, x, e in zip(("y", *NAMES), results, exact)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library")
    parser.add_argument("--mamba")
    parser.add_argument("--shapes", default="256x251x576x24,256x251x1152x24,256x251x2304x24")
    parser.add_argument("--dtype", choices=DTYPES, default="bf16")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json")
    options = parser.parse_args()
    ours, peer = Ours(options.library), Mamba(options.mamba) if options.mamba else None
    machine = {"gpu": torch.cuda.get_device_name() if options.device == "cuda" else "none", "libtorch": torch.__version__.split("+")[0],
               "cuda": torch.version.cuda}
    for shape in options.shapes.split(","):
        batch, length, width, states = (int(n) for n in shape.split("x"))
        few, few_gradient = draw(min(batch, 2), length, width, states, DTYPES[options.dtype], options.device)
        leaves = [x.double().requires_grad_() for x in few]
        y = formula(*leaves)
        y.backward(few_gradient.double())
        exact = [y.detach()] + [x.grad for x in leaves]
        found = {ours.name: errors(ours.both(few, few_gradient), exact)}
        if peer:
            found[peer.name] = errors(peer.turned_back(peer.both(peer.turned(few), few_gradient.transpose(1, 2).contiguous())), exact)
        inputs, gradient = draw(batch, length, width, states, DTYPES[options.dtype], options.device)
        times = {}
        for kernel in filter(None, (ours, peer)):
            own = (inputs, gradient) if kernel is ours else (peer.turned(inputs), gradient.transpose(1, 2).contiguous())
            times[kernel.name] = (milliseconds(lambda: kernel.forward(own[0]), options.device, options.runs),
                                  milliseconds(lambda: kernel.both(*own), options.device, options.runs))
        for name, (forward, both) in times.items():
            record = {**machine, "kernel": name, "dtype": options.dtype, "B": batch, "S": length, "I": width, "N": states,
                      "forward_ms": round(forward, 4), "forward_backward_ms": round(both, 4), "error": max(found[name].values()),
                      "errors": found[name]}
            if peer and name == ours.name:
                record["ratio_to_mamba_ssm"] = round(times[peer.name][1] / both, 2)
            print(json.dumps(record), flush=True)
            if options.json:
                with open(options.json, "a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

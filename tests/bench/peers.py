"""Times the mLSTM cell of others on the GPU: the formula in PyTorch, eager and compiled, scaled_dot_product_attention, and
mlstm-kernels (PyPI) where it is installed. Run right after `bench cells` on the same machine; records have its format.

Usage: peers.py [--lengths 251] [--head-dims 96,144,192] [--json FILE]
"""

import argparse
import json
import statistics

import torch
import torch.nn.functional as F

HEADS = 4
EPS = 1e-6


def mlstm(q, k, v, i, f):
    """h [B, NH, S, DH] from q, k, v [B, NH, S, DH] and gate preactivations i, f [B, NH, S]; docs/kernel.md."""
    cumulative = F.logsigmoid(f).cumsum(-1)
    log_d = cumulative.unsqueeze(-1) - cumulative.unsqueeze(-2) + i.unsqueeze(-2)
    causal = torch.ones(q.shape[-2], q.shape[-2], dtype=torch.bool, device=q.device).tril()
    log_d = log_d.masked_fill(~causal, -torch.inf)
    m = log_d.max(-1, keepdim=True).values
    c = (q @ (k * q.shape[-1] ** -0.5).transpose(-1, -2)) * (log_d - m).exp()
    n = torch.maximum(c.sum(-1, keepdim=True).abs(), (-m).exp()) + EPS
    return (c / n).to(v.dtype) @ v


def median_ms(work, runs=20):
    """Median of `runs` timed calls after three that are not."""
    for _ in range(3):
        work()
    times = []
    for _ in range(runs):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        work()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def padded(x, multiple_s, multiple_d):
    """x [B, NH, S, D] with zeros up to the multiples that a peer asks for."""
    return F.pad(x, (0, -x.shape[-1] % multiple_d, 0, -x.shape[-2] % multiple_s))


def peers():
    """name → function of q, k, v, i, f."""
    found = {
        "pytorch eager": mlstm,
        "pytorch compiled": torch.compile(mlstm),
        "causal attention": lambda q, k, v, i, f: F.scaled_dot_product_attention(q, k, v, is_causal=True),
    }
    try:
        from mlstm_kernels.torch.chunkwise.triton_xl_chunk import mlstm_chunkwise__xl_chunk
    except ImportError as reason:
        print(f"mlstm-kernels is not timed: {reason}")
        return found

    def xl_chunk(q, k, v, i, f):
        s, d = q.shape[-2:]
        q, k, v = (padded(x, 64, 64) for x in (q, k, v))
        i, f = (F.pad(x, (0, -s % 64)) for x in (i, f))
        return mlstm_chunkwise__xl_chunk(q, k, v, i, f, chunk_size=64, autocast_kernel_dtype=q.dtype)[..., :s, :d]

    return {**found, "mlstm-kernels xl_chunk, padded": xl_chunk}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lengths", default="251")
    parser.add_argument("--head-dims", default="96,144,192")
    parser.add_argument("--json", help="append records to this file")
    args = parser.parse_args()
    torch.manual_seed(1)
    for length in map(int, args.lengths.split(",")):
        for dim in map(int, args.head_dims.split(",")):
            batch = max(1, 256 * 251 // length)
            # As a block has them, [B, S, NH, DH] seen as [B, NH, S, DH]; copies that a peer needs are its own cost.
            inputs = [torch.randn(batch, length, HEADS, dim, device="cuda", dtype=torch.bfloat16).transpose(1, 2) for _ in range(3)]
            inputs += [torch.randn(batch, HEADS, length, device="cuda"), torch.randn(batch, HEADS, length, device="cuda") + 4]
            inputs = [x.detach().requires_grad_() for x in inputs]
            grad = torch.randn(batch, HEADS, length, dim, device="cuda", dtype=torch.bfloat16)
            for name, cell in peers().items():

                def forward():
                    with torch.no_grad():
                        cell(*inputs)

                def both():
                    for x in inputs:
                        x.grad = None
                    cell(*inputs).backward(grad)

                try:
                    times = {"forward_ms": median_ms(forward), "forward_backward_ms": median_ms(both)}
                except Exception as reason:  # a peer that cannot take the shape is reported, the others go on
                    times = {"failed": str(reason).splitlines()[0][:200] if str(reason) else type(reason).__name__}
                record = {"kernel": name, "dtype": "bf16", "B": batch, "NH": HEADS, "S": length, "DH": dim, **times}
                print(json.dumps(record), flush=True)
                if args.json:
                    with open(args.json, "a", encoding="utf-8") as out:
                        out.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()

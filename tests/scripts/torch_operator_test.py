"""Cell and scan as operators of PyTorch, against their formulas in PyTorch. Usage: torch_operator_test.py LIBRARY"""

import sys
import unittest

try:
    import torch
    import torch.nn.functional as F
except ImportError:
    print("skipped: this Python has no torch")
    sys.exit(77)


def formula(q, k, v, i, f):
    """h [B, S, NH, DH] from q, k, v [B, S, NH, DH] and gate preactivations [B, S, NH]; docs/kernel.md."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    i, f = (x.transpose(1, 2) for x in (i, f))
    total = F.logsigmoid(f).cumsum(-1)
    log_d = total.unsqueeze(-1) - total.unsqueeze(-2) + i.unsqueeze(-2)
    log_d = log_d.masked_fill(torch.ones_like(log_d, dtype=torch.bool).triu(1), -torch.inf)
    m = log_d.max(-1, keepdim=True).values
    c = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 * (log_d - m).exp()
    n = torch.maximum(c.sum(-1, keepdim=True).abs(), (-m).exp()) + 1e-6
    return ((c / n) @ v).transpose(1, 2)


class Operator(unittest.TestCase):
    def inputs(self, dtype=torch.float64):
        torch.manual_seed(1)
        shapes = [(2, 9, 2, 8)] * 3 + [(2, 9, 2)] * 2
        return [torch.randn(shape, dtype=dtype, requires_grad=True) for shape in shapes]

    def test_equals_the_formula(self):
        inputs = self.inputs()
        torch.testing.assert_close(torch.ops.axlstm.mlstm(*inputs), formula(*inputs))

    def test_gradients(self):
        self.assertTrue(torch.autograd.gradcheck(torch.ops.axlstm.mlstm, self.inputs()))

    def test_sigmoid_gate(self):
        q, k, v, i, f = self.inputs()
        torch.testing.assert_close(torch.ops.axlstm.mlstm(q, k, v, i, f, "sigmoid"), formula(q, k, v, F.logsigmoid(i), f))

    def test_autocast(self):
        inputs = self.inputs(torch.float32)
        with torch.autocast("cpu", torch.bfloat16):
            self.assertEqual(torch.ops.axlstm.mlstm(*inputs).dtype, torch.bfloat16)

    def test_wrong_gate_is_named(self):
        with self.assertRaisesRegex(RuntimeError, "input_gate is 'tanh'"):
            torch.ops.axlstm.mlstm(*self.inputs(), "tanh")


def scan_formula(u, delta, A, B, C, D, z, delta_bias):
    """y [B, S, I] of u, delta, z [B, S, I], A [I, N], B, C [B, S, N], D, delta_bias [I]; docs/ssam.md."""
    step = F.softplus(delta + delta_bias)
    h = torch.zeros_like(u[:, 0]).unsqueeze(-1) * A
    y = []
    for t in range(u.shape[1]):
        inflow = (step[:, t] * u[:, t]).unsqueeze(-1) * B[:, t].unsqueeze(1)
        h = (step[:, t].unsqueeze(-1) * A).exp() * h + inflow
        y.append((h * C[:, t].unsqueeze(1)).sum(-1))
    return (torch.stack(y, 1) + D * u) * F.silu(z)


class Scan(unittest.TestCase):
    def inputs(self, dtype=torch.float64, width=8):
        torch.manual_seed(1)
        tokens = [torch.randn(2, 9, n, dtype=dtype) for n in (width, width, 5, 5, width)]
        u, delta, b, c, z = tokens
        rates, skip, bias = -torch.rand(width, 5, dtype=dtype), torch.randn(width, dtype=dtype), torch.randn(width, dtype=dtype)
        return [x.requires_grad_() for x in (u, delta, rates, b, c, skip, z, bias)]

    def test_equals_the_formula(self):
        inputs = self.inputs()
        torch.testing.assert_close(torch.ops.axlstm.selective_scan(*inputs), scan_formula(*inputs))
        inputs = self.inputs(torch.float32, 16)  # by own code
        torch.testing.assert_close(torch.ops.axlstm.selective_scan(*inputs), scan_formula(*inputs))

    def test_gradients(self):
        self.assertTrue(torch.autograd.gradcheck(torch.ops.axlstm.selective_scan, self.inputs()))

    def test_autocast(self):
        with torch.autocast("cpu", torch.bfloat16):
            self.assertEqual(torch.ops.axlstm.selective_scan(*self.inputs(torch.float32)).dtype, torch.bfloat16)

    def test_wrong_shape_is_named(self):
        inputs = self.inputs()
        inputs[3] = inputs[3][:, :8]
        with self.assertRaisesRegex(RuntimeError, r"B must be \[2, 9, 5\]"):
            torch.ops.axlstm.selective_scan(*inputs)


if __name__ == "__main__":
    torch.ops.load_library(sys.argv.pop())
    unittest.main()

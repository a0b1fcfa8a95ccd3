"""The cell as an operator of PyTorch, against the formula in PyTorch. Usage: torch_operator_test.py LIBRARY"""

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


if __name__ == "__main__":
    torch.ops.load_library(sys.argv.pop())
    unittest.main()

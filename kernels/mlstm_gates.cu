// Scans over the gates, one warp for each batch entry and head: what is O(S) in the cell.
#include "mlstm_gates.cuh"
#include "mlstm_launch.h"

namespace axlstm::kernels {
namespace {

/// g, G, exp(−m) and record from the log gates. Sums are float64: their error would be that of every later entry of D.
__global__ void gate_forward_kernel(MlstmShape shape, const float* log_i, const float* log_f, GateState gates) {
  const std::int64_t pair = blockIdx.x, batch = pair / shape.NH, head = pair % shape.NH;
  const int lane = threadIdx.x;
  double carried_F = 0.0, carried_G = -INFINITY;
  int carried_record = 0;
  for (std::int64_t start = 0; start < shape.S; start += kWarp) {
    const std::int64_t t = start + lane;
    const bool inside = t < shape.S;
    const std::int64_t from = (batch * shape.S + t) * shape.NH + head, to = pair * shape.S + t;
    double F = inside ? log_f[from] : 0.0;
    for (int step = 1; step < kWarp; step *= 2) {
      const double before = __shfl_up_sync(kAllLanes, F, step);
      if (lane >= step) F += before;
    }
    F += carried_F;
    const double g = inside ? log_i[from] - F : -INFINITY;
    double G = g;
    int record = static_cast<int>(t);
    for (int step = 1; step < kWarp; step *= 2) {
      const double before = __shfl_up_sync(kAllLanes, G, step);
      const int before_record = __shfl_up_sync(kAllLanes, record, step);
      if (lane >= step && before >= G) {
        G = before;
        record = before_record;
      }
    }
    if (carried_G >= G) {
      G = carried_G;
      record = carried_record;
    }
    if (inside) {
      gates.g_high[to] = static_cast<float>(g);
      gates.g_low[to] = static_cast<float>(g - gates.g_high[to]);
      gates.G_high[to] = static_cast<float>(G);
      gates.G_low[to] = static_cast<float>(G - gates.G_high[to]);
      gates.bound[to] = static_cast<float>(exp(-(F + G)));
      gates.record[to] = record;
    }
    carried_F = __shfl_sync(kAllLanes, F, kWarp - 1);
    carried_G = __shfl_sync(kAllLanes, G, kWarp - 1);
    carried_record = __shfl_sync(kAllLanes, record, kWarp - 1);
  }
}

/// dlog_i and dlog_f from δ_i = dh_i·h_i and the column sums of W_ij = ∂L/∂log D_ij. The row sums are known without a
/// pass over S×S: with the stabiliser's own gradient −e_i, e_i = δ_i eps / N_i, they are 0 where |n| decides the
/// normaliser and δ_i (N_i − eps) / N_i where exp(−m_i) does. e_i is also taken from the column of i's record.
__global__ void gate_backward_kernel(MlstmShape shape, GateState gates, const float* n, const float* delta,
                                     const float* column_sum, float* dlog_i, float* dlog_f) {
  const std::int64_t pair = blockIdx.x, batch = pair / shape.NH, head = pair % shape.NH, base = pair * shape.S;
  const int lane = threadIdx.x;
  float carried = 0.0F;  // Σ dF over later tokens
  for (std::int64_t start = (shape.S - 1) / kWarp * kWarp; start >= 0; start -= kWarp) {
    const std::int64_t t = start + lane;
    const bool inside = t < shape.S;
    float column = 0.0F, dF = 0.0F;
    if (inside) {
      const Normaliser norm = normaliser(n[base + t], gates.bound[base + t], shape.eps);
      column = column_sum[base + t];
      // Records do not decrease: the tokens whose maximum is t follow t without a gap.
      for (std::int64_t i = t; i < shape.S && gates.record[base + i] == t; ++i) {
        column -= delta[base + i] * shape.eps * normaliser(n[base + i], gates.bound[base + i], shape.eps).inverse;
      }
      const float row = norm.sign != 0.0F ? 0.0F : delta[base + t] * (1.0F - shape.eps * norm.inverse);
      dF = row - column;
    }
    for (int step = 1; step < kWarp; step *= 2) {
      const float after = __shfl_down_sync(kAllLanes, dF, step);
      if (lane + step < kWarp) dF += after;
    }
    dF += carried;
    if (inside) {
      const std::int64_t to = (batch * shape.S + t) * shape.NH + head;
      dlog_i[to] = column;
      dlog_f[to] = dF;
    }
    carried = __shfl_sync(kAllLanes, dF, 0);
  }
}

unsigned pairs(const MlstmShape& shape) { return static_cast<unsigned>(shape.B * shape.NH); }

}  // namespace

void launch_gate_forward(const ForwardParams& params, cudaStream_t stream) {
  gate_forward_kernel<<<pairs(params.shape), kWarp, 0, stream>>>(params.shape, params.log_i, params.log_f,
                                                                 params.gates);
}

void launch_gate_backward(const BackwardParams& params, cudaStream_t stream) {
  gate_backward_kernel<<<pairs(params.shape), kWarp, 0, stream>>>(params.shape, params.gates, params.n, params.delta,
                                                                  params.column_sum, params.dlog_i, params.dlog_f);
}

}  // namespace axlstm::kernels

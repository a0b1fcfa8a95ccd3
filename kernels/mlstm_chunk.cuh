// How a block of the cell's tensor-core kernels goes over one head of one chunk of tokens: scores and weights stay in
// registers, channels pass by in slices through a ring in shared memory.
//
// A chunk is 2·kWarps groups of 16 tokens. A warp has two strips of 16 rows of the lower triangle, the w-th and the
// w-th last: together always 2·kWarps + 1 tiles of 16 × 16, its slots. Slots from 0 on belong to the long strip, those
// from the end to the short one, so that a slot's registers are known when compiling and only whose they are is not.
// For sums over later tokens (columns of the triangle) the same holds with the order of the tokens mirrored.
#pragma once

#include "mlstm_chunk_terms.h"
#include "mlstm_gates.cuh"
#include "warp.cuh"

namespace axlstm::kernels {

/// Sums over the four lanes that share a row of an accumulator.
__device__ inline float sum_of_quad(float x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  return x + __shfl_xor_sync(kAllLanes, x, 2);
}

/// A run of slices through the ring: of two tensors by turns for scores, of one for sums.
struct ChunkRun {
  const Tensor4* first;
  const Tensor4* second;  // or nullptr
};

template <int kWarps, typename T>
class Chunk {
 public:
  using Terms = ChunkTerms<kWarps>;
  static constexpr int kGroups = Terms::kGroups, kTokens = Terms::kTokens, kSlots = kGroups + 1;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kTile = kTokens * kSlicePitch;
  using Scores = float[kSlots][2][4];
  using Weights = std::uint32_t[kSlots][4];  // as left operands of mma
  using Rows = float[2][2];                  // of a lane: [long, short strip][row g, row g + 8]
  using Sum = float[2][kSliceWidth / 8][4];
  static_assert(kThreads == kTokens);

  __device__ Chunk(const MlstmShape& shape, const ChunkRun* runs, int run_count, int ring)
      : shape_(shape), runs_(runs), run_count_(run_count), ring_(ring) {
    const int chunks = static_cast<int>((shape.S + shape.chunk - 1) / shape.chunk);
    const std::int64_t first = blockIdx.x % chunks * shape.chunk;
    pair_ = blockIdx.x / chunks;
    first_ = pair_ * shape.S + first;
    row_ = first;
    tokens_ = static_cast<int>(shape.S - first < shape.chunk ? shape.S - first : shape.chunk);
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / kWarp; }
  __device__ Terms& terms() const { return *reinterpret_cast<Terms*>(dynamic_shared<T>() + ring_ * kTile); }
  __device__ float scale() const { return rsqrtf(static_cast<float>(shape_.DH)); }
  /// Where token `token` of the chunk is in [B, NH, S].
  __device__ std::int64_t at(int token) const { return first_ + token; }
  __device__ bool inside(int token) const { return token < tokens_; }

  /// Fills the terms and starts the first slices. `n` is null in the forward pass.
  __device__ void start(const GateState& state, const float* n) {
    for (int tile = 0; tile < ring_; ++tile) start_next();
    Terms& all = terms();
    const int token = static_cast<int>(threadIdx.x);
    const bool is_inside = inside(token);
    const float g_high = is_inside ? state.g_high[at(token)] : -INFINITY, g_low = is_inside ? state.g_low[at(token)] : 0.0F;
    const float G_high = is_inside ? state.G_high[at(token)] : INFINITY, G_low = is_inside ? state.G_low[at(token)] : 0.0F;
    float inverse = is_inside ? 1.0F : 0.0F;
    if (n != nullptr && is_inside) inverse = normaliser(n[at(token)], state.bound[at(token)], shape_.eps).inverse;
    all.g_high[token] = g_high;
    all.g_low[token] = g_low;
    all.G_high[token] = G_high;
    all.G_low[token] = G_low;
    all.inverse[token] = inverse;
    __syncthreads();
    const int group = token / 16;
    const auto last = [&](int of) { return 16 * of + 15 < tokens_ ? 16 * of + 15 : tokens_ - 1; };  // a group's last token
    const auto difference = [&](float high, float low, int minus) {
      return fast_exp2((high - all.G_high[minus]) + (low - all.G_low[minus]));
    };
    all.j_factor[token] = difference(g_high, g_low, last(group));
    const int before = last(group > 0 ? group - 1 : 0);
    all.i_factor[token] = fast_exp2((all.G_high[before] - G_high) + (all.G_low[before] - G_low)) * inverse;
    for (int pair = token; pair < kGroups * kGroups; pair += kThreads) {
      const int earlier = pair / kGroups, later = pair % kGroups, end = last(earlier);
      if (earlier < later) all.between[pair] = difference(all.G_high[end], all.G_low[end], last(later - 1));
    }
    // The first step's barrier shows the terms to all.
  }

  /// scores = left · rightᵀ on this warp's slots: the next run, over all slices.
  template <bool kMirror>
  __device__ void add_scores(Scores& scores) {
    const int left = lane() % 16 * kSlicePitch + lane() / 16 * 8;
    const int right = (lane() % 8 + lane() / 16 * 8) * kSlicePitch + lane() / 8 % 2 * 8;
    for (int slice = 0; slice < slices(); ++slice) {
      const int step = begin_step(2);
      const T* left_tile = tile_at(step) + left;
      const T* right_tile = tile_at(step + 1) + right;
#pragma unroll 1  // for the size of the code
      for (int channel = 0; channel < kSliceWidth; channel += 16) {
        std::uint32_t a[2][4], b[2][4];
        load_matrices<false>(a[0], left_tile + own_group<kMirror>(false) * 16 * kSlicePitch + channel);
        load_matrices<false>(a[1], left_tile + own_group<kMirror>(true) * 16 * kSlicePitch + channel);
        load_matrices<false>(b[0], right_tile + token_group<kMirror>(0) * 16 * kSlicePitch + channel);
#pragma unroll
        for (int g = 0; g < kGroups; ++g) {
          if (g + 1 < kGroups) {
            load_matrices<false>(b[(g + 1) % 2], right_tile + token_group<kMirror>(g + 1) * 16 * kSlicePitch + channel,
                                 in_long(g + 1));
          }
          multiply_add<T>(scores[g][0], a[0], b[g % 2][0], b[g % 2][1], in_long(g));
          multiply_add<T>(scores[g][1], a[0], b[g % 2][2], b[g % 2][3], in_long(g));
          if (g < kWarps) {
            multiply_add<T>(scores[kSlots - 1 - g][0], a[1], b[g % 2][0], b[g % 2][1], in_short(g));
            multiply_add<T>(scores[kSlots - 1 - g][1], a[1], b[g % 2][2], b[g % 2][3], in_short(g));
          }
        }
      }
    }
  }

  /// Calls visit(slot, first of two elements in the slot, first of their columns, their gate factors exp(g_j − G_i) / N_i,
  /// strip (0 long, 1 short), row) for all of this warp's elements, two by two; adds what it returns up by rows.
  template <bool kMirror, typename Visit>
  __device__ void visit(Rows& rows, const Visit& visit) {
    const Terms& all = terms();
    float own[2][2];
    for (int strip = 0; strip < 2; ++strip) {
      for (int half = 0; half < 2; ++half) {
        const int token = own_token<kMirror>(strip, half);
        own[strip][half] = kMirror ? all.j_factor[token] : all.i_factor[token];
      }
    }
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const bool is_short = slot >= kWarps && !in_long(slot);
      const int own_tokens = own_group<kMirror>(is_short);
      const int passing = token_group<kMirror>(is_short ? kSlots - 1 - slot : slot);
      const bool diagonal = slot >= kWarps && own_tokens == passing;
      const float between = all.between[kMirror ? own_tokens * kGroups + passing : passing * kGroups + own_tokens];
      const float factor[2] = {(is_short ? own[1][0] : own[0][0]) * between, (is_short ? own[1][1] : own[0][1]) * between};
      float sum[2] = {};
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int column = passing * 16 + half * 8 + lane() % 4 * 2;
        float gate[2][2];
        if (diagonal) {
#pragma unroll
          for (int p = 0; p < 4; ++p) {
            gate[p / 2][p % 2] = diagonal_factor<kMirror>(own_tokens * 16 + lane() / 4 + p / 2 * 8, column + p % 2);
          }
        } else {
          const float2 other = *reinterpret_cast<const float2*>(&(kMirror ? all.i_factor : all.j_factor)[column]);
#pragma unroll
          for (int row = 0; row < 2; ++row) {
            gate[row][0] = factor[row] * other.x;
            gate[row][1] = factor[row] * other.y;
          }
        }
#pragma unroll
        for (int row = 0; row < 2; ++row) sum[row] += visit(slot, half, row, column, is_short, gate[row]);
      }
#pragma unroll
      for (int row = 0; row < 2; ++row) add_to_row(rows, slot, is_short, row, sum[row]);
    }
  }

  /// Σ over a row of what of(slot, half, row) returns for two neighbouring elements.
  template <typename Of>
  __device__ void add_rows(Rows& rows, const Of& of) const {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        add_to_row(rows, slot, slot >= kWarps && !in_long(slot), row, of(slot, 0, row) + of(slot, 1, row));
      }
    }
  }

  /// Calls store(slice, sum) with weights · tensor, the next run, slice by slice.
  template <bool kMirror, typename Store>
  __device__ void sum_slices(const Weights& weights, const Store& store) {
    const int summed = lane() % 16 * kSlicePitch + lane() / 16 * 8;
#pragma unroll 1
    for (int slice = 0; slice < slices(); ++slice) {
      const T* tile = tile_at(begin_step(1)) + summed;
      Sum sum = {};
#pragma unroll
      for (int g = 0; g < kGroups; ++g) {
#pragma unroll
        for (int channel = 0; channel < kSliceWidth; channel += 16) {
          std::uint32_t b[4];
          load_matrices<true>(b, tile + token_group<kMirror>(g) * 16 * kSlicePitch + channel, in_long(g));
          multiply_add<T>(sum[0][channel / 8], weights[g], b[0], b[1], in_long(g));
          multiply_add<T>(sum[0][channel / 8 + 1], weights[g], b[2], b[3], in_long(g));
          if (g < kWarps) {
            multiply_add<T>(sum[1][channel / 8], weights[kSlots - 1 - g], b[0], b[1], in_short(g));
            multiply_add<T>(sum[1][channel / 8 + 1], weights[kSlots - 1 - g], b[2], b[3], in_short(g));
          }
        }
      }
      store(slice, sum);
    }
  }

  /// Writes a slice of a result, each row times its factor. Lanes swap halves so that four write 32 bytes of a row.
  template <bool kMirror>
  __device__ void store(const Tensor4& out, int slice, const Sum& sum, const Rows& factor) const {
    T* head = static_cast<T*>(out.data) + pair_ / shape_.NH * out.batch_stride + pair_ % shape_.NH * out.head_stride +
              row_ * out.sequence_stride + slice * kSliceWidth;
    const bool odd = lane() % 2 != 0;
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = own_token<kMirror>(strip, half);
        const float f = factor[strip][half];
#pragma unroll
        for (int channel = 0; channel < kSliceWidth; channel += 16) {
          const float* low = &sum[strip][channel / 8][2 * half];
          const float* high = &sum[strip][channel / 8 + 1][2 * half];
          const std::uint32_t of_low = pack<T>(f * low[0], f * low[1]), of_high = pack<T>(f * high[0], f * high[1]);
          const std::uint32_t received = __shfl_xor_sync(kAllLanes, odd ? of_low : of_high, 1);
          if (!inside(token) || slice * kSliceWidth + channel >= shape_.DH) continue;
          const int to = channel + (odd ? 8 : 0) + lane() % 4 / 2 * 4;
          *reinterpret_cast<uint2*>(head + token * out.sequence_stride + to) =
              odd ? make_uint2(received, of_high) : make_uint2(of_low, received);
        }
      }
    }
  }

  /// Writes the sums over rows to `to` [B, NH, S].
  template <bool kMirror>
  __device__ void store_rows(const Rows& rows, float* to) const {
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = sum_of_quad(rows[strip][half]);
        const int token = own_token<kMirror>(strip, half);
        if (lane() % 4 == 0 && inside(token)) to[at(token)] = sum;
      }
    }
  }

  /// The chunk's token that is row g (half 0) or g + 8 (half 1) of a strip.
  template <bool kMirror>
  __device__ static int own_token(int strip, int half) {
    return own_group<kMirror>(strip != 0) * 16 + lane() / 4 + 8 * half;
  }

 private:
  template <bool kMirror>
  __device__ static int token_group(int g) {
    return kMirror ? kGroups - 1 - g : g;
  }
  template <bool kMirror>
  __device__ static int own_group(bool is_short) {
    return token_group<kMirror>(is_short ? warp() : kGroups - 1 - warp());
  }
  /// Whether the long and the short strip meet group g.
  __device__ static bool in_long(int g) { return g <= kWarps || g < kGroups - warp(); }
  __device__ static bool in_short(int g) { return g <= warp(); }
  __device__ int slices() const { return static_cast<int>((shape_.DH + kSliceWidth - 1) / kSliceWidth); }
  __device__ T* tile_at(int n) const { return dynamic_shared<T>() + n % ring_ * kTile; }

  /// exp(g_j − G_i) / N_i for a pair in one group; 0 for j > i.
  template <bool kMirror>
  __device__ float diagonal_factor(int own, int other) const {
    const Terms& all = terms();
    const int i = kMirror ? other : own, j = kMirror ? own : other;
    if (j > i) return 0.0F;
    return fast_exp2((all.g_high[j] - all.G_high[i]) + (all.g_low[j] - all.G_low[i])) * all.inverse[i];
  }

  __device__ static void add_to_row(Rows& rows, int slot, bool is_short, int row, float sum) {
    rows[0][row] += is_short ? 0.0F : sum;
    if (slot >= kWarps) rows[1][row] += is_short ? sum : 0.0F;
  }

  /// Waits for the next `count` tiles, starts those that may follow, returns the number of the first.
  __device__ int begin_step(int count) {
    // Of the tiles on their way at most ring − 4 may still be: the last step used, and this one uses, at most two.
    if (ring_ == kDeepRing) {
      copy_async_wait<kDeepRing - 4>();
    } else {
      copy_async_wait<kShallowRing - 4>();
    }
    __syncthreads();  // the tiles are there, for all, and those of the step before are used up
    while (started_ < used_ + ring_) start_next();
    used_ += count;
    return used_ - count;
  }

  /// Starts copying the next slice of the runs: kTokens × kSliceWidth; zeros outside.
  __device__ void start_next() {
    if (run_ < run_count_) {
      const ChunkRun& run = runs_[run_];
      const bool pairs = run.second != nullptr;
      const Tensor4& x = pairs && in_run_ % 2 == 1 ? *run.second : *run.first;
      const int from = (pairs ? in_run_ / 2 : in_run_) * kSliceWidth;
      const T* head = static_cast<const T*>(x.data) + pair_ / shape_.NH * x.batch_stride + pair_ % shape_.NH * x.head_stride +
                      row_ * x.sequence_stride + from;
      T* tile = tile_at(started_);
#pragma unroll
      for (int n = 0; n < kSliceWidth / 8; ++n) {
        const int chunk = static_cast<int>(threadIdx.x) + n * kThreads, token = chunk / (kSliceWidth / 8);
        const int channel = chunk % (kSliceWidth / 8) * 8;
        const bool is_inside = inside(token) && from + channel < shape_.DH;
        copy_async_16(tile + token * kSlicePitch + channel, is_inside ? head + token * x.sequence_stride + channel : head,
                      is_inside);
      }
      if (++in_run_ == slices() * (pairs ? 2 : 1)) {
        in_run_ = 0;
        ++run_;
      }
    }
    copy_async_commit();
    ++started_;
  }

  const MlstmShape& shape_;
  const ChunkRun* runs_;
  int run_count_, ring_;
  std::int64_t pair_, first_, row_;  // head; its chunk's first token in [B, NH, S]; in the sequence
  int tokens_;                       // of the chunk
  int started_ = 0, used_ = 0, run_ = 0, in_run_ = 0;
};

}  // namespace axlstm::kernels

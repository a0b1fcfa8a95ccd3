// How a block of the cell's tensor-core kernels goes over one head of one chunk of tokens: scores and weights stay in
// registers, channels pass by in slices through a ring in shared memory.
//
// A chunk is 2·kWarps groups of 16 tokens. A warp has two strips of 16 rows of the lower triangle, the w-th and the
// w-th last: together always 2·kWarps + 1 tiles of 16 × 16, its slots. From slot 0 on they are those of the long strip,
// from the diagonal down; from the last slot back those of the short one. Slots up to kWarps are the long strip's in
// every warp, the last is the short one's, and those between are chosen by selection, not by branches: a branch would
// wait for the matrix units. For sums over later tokens (columns of the triangle) the same holds with the order of the
// tokens mirrored.
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
  static constexpr int kTile = kTokens * kSlicePitch, kGroupPitch = 16 * kSlicePitch;
  using Scores = float[kSlots][2][4];
  using Weights = std::uint32_t[kSlots][4];  // as left operands of mma
  using Rows = float[2][2];                  // of a lane: [long, short strip][row g, row g + 8]
  using Sum = float[2][kSliceWidth / 8][4];
  static_assert(kThreads == kTokens);

  __device__ Chunk(const MlstmShape& shape, const ChunkRun* runs, int run_count, int ring)
      : shape_(shape), runs_(runs), run_count_(run_count), ring_(ring), free_(ring) {
    const int chunks = static_cast<int>((shape.S + shape.chunk - 1) / shape.chunk);
    const std::int64_t first = blockIdx.x % chunks * shape.chunk;
    const unsigned pair = blockIdx.x / chunks;
    batch_ = pair / static_cast<unsigned>(shape.NH);
    head_ = pair % static_cast<unsigned>(shape.NH);
    first_ = pair * shape.S + first;
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
    while (free_ > 0) start_next();
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
      begin_step(2);
      const T* left_tile = next_tile() + left;
      const T* right_tile = next_tile() + right;
#pragma unroll 1  // for the size of the code
      for (int channel = 0; channel < kSliceWidth; channel += 16) {
        std::uint32_t a[2][4], b[2][4];
        load_matrices<false>(a[0], left_tile + own_group<kMirror>(false) * kGroupPitch + channel);
        load_matrices<false>(a[1], left_tile + own_group<kMirror>(true) * kGroupPitch + channel);
        load_matrices<false>(b[0], right_tile + passing_group<kMirror>(0) * kGroupPitch + channel);
#pragma unroll
        for (int slot = 0; slot < kSlots; ++slot) {
          if (slot + 1 < kSlots) {
            load_matrices<false>(b[(slot + 1) % 2], right_tile + passing_group<kMirror>(slot + 1) * kGroupPitch + channel);
          }
          const bool is_short = in_short(slot);
          std::uint32_t own[4];
#pragma unroll
          for (int n = 0; n < 4; ++n) own[n] = is_short ? a[1][n] : a[0][n];
          multiply_add<T>(scores[slot][0], own, b[slot % 2][0], b[slot % 2][1]);
          multiply_add<T>(scores[slot][1], own, b[slot % 2][2], b[slot % 2][3]);
        }
      }
    }
  }

  /// Calls visit(slot, half of its columns, half of its rows, first of two columns, strip (0 long, 1 short), gate factors
  /// exp(g_j − G_i) / N_i of the two) for all of this warp's elements, two by two; adds what it returns up by rows.
  template <bool kMirror, typename Visit>
  __device__ void visit(Rows& rows, const Visit& visit) {
    const Terms& all = terms();
    float own[2][2];
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const int token = own_token<kMirror>(strip, row);
        own[strip][row] = kMirror ? all.j_factor[token] : all.i_factor[token];
      }
    }
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const bool is_short = in_short(slot);
      const int passing = passing_group<kMirror>(slot);
      float factor[2] = {}, sum[2] = {};
      const bool diagonal = slot == 0 || slot == kSlots - 1;
      if (!diagonal) {
        const int mine = own_group<kMirror>(is_short);
        const float between = all.between[kMirror ? mine * kGroups + passing : passing * kGroups + mine];
#pragma unroll
        for (int row = 0; row < 2; ++row) factor[row] = (is_short ? own[1][row] : own[0][row]) * between;
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int column = passing * 16 + half * 8 + lane() % 4 * 2;
        const float2 other = *reinterpret_cast<const float2*>(&(kMirror ? all.i_factor : all.j_factor)[column]);
#pragma unroll
        for (int row = 0; row < 2; ++row) {
          float gate[2] = {factor[row] * other.x, factor[row] * other.y};
          if (diagonal) {
            const int token = own_token<kMirror>(slot == 0 ? 0 : 1, row);
            gate[0] = diagonal_factor<kMirror>(token, column);
            gate[1] = diagonal_factor<kMirror>(token, column + 1);
          }
          sum[row] += visit(slot, half, row, column, is_short, gate);
        }
      }
#pragma unroll
      for (int row = 0; row < 2; ++row) add_to_row(rows, slot, row, sum[row]);
    }
  }

  __device__ static void keep_packed(Weights& weights) {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
      for (int n = 0; n < 4; ++n) kernels::keep_packed(weights[slot][n]);
    }
  }

  /// Σ over a row of what of(slot, half, row) returns for two neighbouring elements.
  template <typename Of>
  __device__ void add_rows(Rows& rows, const Of& of) const {
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
#pragma unroll
      for (int row = 0; row < 2; ++row) add_to_row(rows, slot, row, of(slot, 0, row) + of(slot, 1, row));
    }
  }

  /// Calls store(slice, sum) with weights · tensor, the next run, slice by slice.
  template <bool kMirror, typename Store>
  __device__ void sum_slices(const Weights& weights, const Store& store) {
    const int summed = lane() % 16 * kSlicePitch + lane() / 16 * 8;
#pragma unroll 1
    for (int slice = 0; slice < slices(); ++slice) {
      begin_step(1);
      const T* tile = next_tile() + summed;
      Sum sum = {};
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) {
        const T* group = tile + passing_group<kMirror>(slot) * kGroupPitch;
        // A slot between adds zeros to the strip whose it is not.
        const bool is_short = in_short(slot);
        std::uint32_t of_long[4], of_short[4];
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          of_long[n] = is_short ? 0 : weights[slot][n];
          of_short[n] = is_short ? weights[slot][n] : 0;
        }
#pragma unroll
        for (int channel = 0; channel < kSliceWidth; channel += 16) {
          std::uint32_t b[4];
          load_matrices<true>(b, group + channel);
          if (slot < kSlots - 1) {
            multiply_add<T>(sum[0][channel / 8], of_long, b[0], b[1]);
            multiply_add<T>(sum[0][channel / 8 + 1], of_long, b[2], b[3]);
          }
          if (slot > kWarps) {
            multiply_add<T>(sum[1][channel / 8], of_short, b[0], b[1]);
            multiply_add<T>(sum[1][channel / 8 + 1], of_short, b[2], b[3]);
          }
        }
      }
      store(slice, sum);
    }
  }

  /// Writes a slice of a result, each row times its factor. Lanes swap halves so that four write 32 bytes of a row.
  template <bool kMirror>
  __device__ void store(const Tensor4& out, int slice, const Sum& sum, const Rows& factor) const {
    T* head = head_of<T>(out) + slice * kSliceWidth;
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
  /// Whether a slot is the short strip's.
  __device__ static bool in_short(int slot) {
    return slot == kSlots - 1 || (slot > kWarps && slot >= kGroups - warp());
  }
  /// The group of tokens that passes by in a slot.
  template <bool kMirror>
  __device__ static int passing_group(int slot) {
    return token_group<kMirror>(in_short(slot) ? warp() - (kSlots - 1 - slot) : kGroups - 1 - warp() - slot);
  }
  __device__ int slices() const { return static_cast<int>((shape_.DH + kSliceWidth - 1) / kSliceWidth); }
  __device__ T* slot_at(int slot) const { return dynamic_shared<T>() + slot * kTile; }
  __device__ int after(int slot) const { return slot + 1 == ring_ ? 0 : slot + 1; }
  /// The next tile to use.
  __device__ const T* next_tile() {
    const T* tile = slot_at(use_slot_);
    use_slot_ = after(use_slot_);
    return tile;
  }
  template <typename Element>
  __device__ Element* head_of(const Tensor4& x) const {
    return static_cast<Element*>(x.data) + batch_ * x.batch_stride + head_ * x.head_stride + row_ * x.sequence_stride;
  }

  /// exp(g_j − G_i) / N_i for a pair in one group; 0 for j > i.
  template <bool kMirror>
  __device__ float diagonal_factor(int own, int other) const {
    const Terms& all = terms();
    const int i = kMirror ? other : own, j = kMirror ? own : other;
    if (j > i) return 0.0F;
    return fast_exp2((all.g_high[j] - all.G_high[i]) + (all.g_low[j] - all.G_low[i])) * all.inverse[i];
  }

  __device__ static void add_to_row(Rows& rows, int slot, int row, float sum) {
    const bool is_short = in_short(slot);
    if (slot < kSlots - 1) rows[0][row] += is_short ? 0.0F : sum;
    if (slot > kWarps) rows[1][row] += is_short ? sum : 0.0F;
  }

  /// Waits for the next `count` tiles and starts those that may follow.
  __device__ void begin_step(int count) {
    // Of the tiles on their way at most ring − 4 may still be: the last step used, and this one uses, at most two.
    if (ring_ == kDeepRing) {
      copy_async_wait<kDeepRing - 4>();
    } else {
      copy_async_wait<kShallowRing - 4>();
    }
    __syncthreads();  // the tiles are there, for all, and those of the step before are used up
    while (free_ > 0) start_next();
    free_ = count;
  }

  /// Starts copying the next slice of the runs: kTokens × kSliceWidth; zeros outside.
  __device__ void start_next() {
    if (run_ < run_count_) {
      const ChunkRun& run = runs_[run_];
      const bool pairs = run.second != nullptr;
      const Tensor4& x = pairs && in_run_ % 2 == 1 ? *run.second : *run.first;
      const int from = (pairs ? in_run_ / 2 : in_run_) * kSliceWidth;
      const T* head = head_of<const T>(x) + from;
      T* tile = slot_at(start_slot_);
      // A thread keeps its channels and goes down the tokens; those beyond have none.
      constexpr int kPieces = kSliceWidth / 8, kRows = kThreads / kPieces;
      const int row = static_cast<int>(threadIdx.x) / kPieces, channel = static_cast<int>(threadIdx.x) % kPieces * 8;
      const T* source = head + row * x.sequence_stride + channel;
      const int rows = row < kRows && from + channel < shape_.DH ? tokens_ : 0;
#pragma unroll
      for (int n = 0; n < (kTokens + kRows - 1) / kRows; ++n) {
        const int token = row + n * kRows;
        if (row < kRows && token < kTokens) {
          copy_async_16(tile + token * kSlicePitch + channel, token < rows ? source : head, token < rows);
        }
        source += kRows * x.sequence_stride;
      }
      if (++in_run_ == slices() * (pairs ? 2 : 1)) {
        in_run_ = 0;
        ++run_;
      }
    }
    copy_async_commit();
    start_slot_ = after(start_slot_);
    --free_;
  }

  const MlstmShape& shape_;
  const ChunkRun* runs_;
  int run_count_, ring_;
  std::int64_t batch_, head_;
  std::int64_t first_, row_;  // the chunk's first token, in [B, NH, S] and in the sequence
  int tokens_;                // of the chunk
  int free_;                  // slots of the ring that are used up
  int start_slot_ = 0, use_slot_ = 0, run_ = 0, in_run_ = 0;
};

}  // namespace axlstm::kernels

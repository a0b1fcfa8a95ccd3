// How a thread block of the cell's tensor-core kernels goes over one head of one chunk of tokens: scores and weights
// stay in registers, channels pass by in slices through a ring in shared memory.
//
// A chunk is 2·kWarps groups of 16 tokens. A warp has two strips of 16 rows of the lower triangle, the w-th and the
// w-th last: together always 2·kWarps + 1 tiles of 16 × 16, its slots. From slot 0 on they are those of the long strip,
// from the diagonal down; from the last slot back those of the short one. Slots up to kWarps are the long strip's in
// every warp, the last is the short one's, and those between are chosen by selection, not by branches: a branch would
// wait for the matrix units. For sums over later tokens (columns of the triangle) the same holds with the order of the
// tokens mirrored.
#pragma once

#include "mlstm_terms.cuh"

namespace axlstm::kernels {

/// A run of slices through the ring: of two tensors by turns for scores, of one for sums.
struct ChunkRun {
  const Tensor4* first;
  const Tensor4* second;  // or nullptr
};

template <int kWarps, typename T>
class MmaChunk {
 public:
  using Terms = MmaTerms<kWarps>;
  static constexpr int kGroups = Terms::kGroups, kTokens = Terms::kTokens, kSlots = kGroups + 1;
  static constexpr int kThreads = kWarps * kWarp;
  static constexpr int kTile = kTokens * kSlicePitch, kGroupPitch = 16 * kSlicePitch;
  using Scores = float[kSlots][2][4];
  using Weights = std::uint32_t[kSlots][4];  // as left operands of mma
  using Rows = float[2][2];                  // of a lane: [long, short strip][row g, row g + 8]
  using Sum = float[2][kSliceWidth / 8][4];
  static_assert(kThreads == kTokens);

  __device__ explicit MmaChunk(const MlstmShape& shape)
      : shape_(shape), slices_(static_cast<int>((shape.DH + kSliceWidth - 1) / kSliceWidth)), free_(kMmaRing) {
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
  __device__ Terms& terms() const { return *reinterpret_cast<Terms*>(dynamic_shared<T>() + kMmaRing * kTile); }
  /// This thread's registers of the weights that the thread block holds in shared memory, behind the terms.
  __device__ std::uint32_t& held(int slot, int n) const {
    return reinterpret_cast<std::uint32_t*>(&terms() + 1)[(slot * 4 + n) * kThreads + static_cast<int>(threadIdx.x)];
  }
  __device__ float scale() const { return rsqrtf(static_cast<float>(shape_.DH)); }
  /// Where token `token` of the chunk is in [B, NH, S].
  __device__ std::int64_t at(int token) const { return first_ + token; }
  __device__ bool inside(int token) const { return token < tokens_; }

  /// From here on rows are columns j that sum over i ≥ j.
  __device__ void mirror() { mirror_ = kGroups - 1; }

  /// Fills the terms and starts the first slices of the runs. `n` is null in the forward pass.
  template <int kRuns>
  __device__ void start(const ChunkRun (&runs)[kRuns], const GateState& state, const float* n) {
    static_assert(kRuns <= kMaxChunkRuns);
    run_count_ = kRuns;
    Terms& all = terms();
    const int token = static_cast<int>(threadIdx.x);
    if (token < 2 * run_count_) {
      const ChunkRun& run = runs[token / 2];
      const Tensor4* x = token % 2 == 0 ? run.first : run.second;
      all.sources[token] =
          x == nullptr ? ChunkSource{nullptr, 0} : ChunkSource{head_of<const T>(*x), x->sequence_stride};
    }
    __syncthreads();
    while (free_ > 0) start_next();
    const TokenGates gates = token_gates(state, n, shape_.eps, at(token), inside(token));
    put_gates(all, token, gates);
    __syncthreads();
    put_factors(all, token, tokens_, gates);
    // The first step's barrier shows the terms to all.
  }

  /// scores = left · rightᵀ on this warp's slots: the next run, over all slices.
  __device__ void add_scores(Scores& scores) {
    const int left = lane() % 16 * kSlicePitch + lane() / 16 * 8;
    const int right = (lane() % 8 + lane() / 16 * 8) * kSlicePitch + lane() / 8 % 2 * 8;
    for (int slice = 0; slice < slices_; ++slice) {
      begin_step(2);
      const T* left_tile = next_tile() + left;
      const T* right_tile = next_tile() + right;
#pragma unroll 1  // for the size of the code
      for (int channel = 0; channel < kSliceWidth; channel += 16) {
        std::uint32_t a[2][4], b[2][4];
        load_matrices<false>(a[0], left_tile + own_group(false) * kGroupPitch + channel);
        load_matrices<false>(a[1], left_tile + own_group(true) * kGroupPitch + channel);
        load_matrices<false>(b[0], right_tile + passing_group(0) * kGroupPitch + channel);
#pragma unroll
        for (int slot = 0; slot < kSlots; ++slot) {
          if (slot + 1 < kSlots) {
            load_matrices<false>(b[(slot + 1) % 2], right_tile + passing_group(slot + 1) * kGroupPitch + channel);
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

  /// Calls visit(slot, half of its columns, half of its rows, first of two columns, strip (0 long, 1 short), gate
  /// factors scale·exp(g_j − G_i) / N_i of the two) for all of this warp's elements, two by two; adds what it returns
  /// up by rows.
  template <typename Visit>
  __device__ void visit(Rows& rows, float scale, const Visit& visit) {
    const Terms& all = terms();
    const float* own_factors = mirror_ ? all.j_factor : all.i_factor;
    const float* passing_factors = mirror_ ? all.i_factor : all.j_factor;
    float own[2][2];
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        const int token = own_token(strip, row);
        own[strip][row] = scale * own_factors[token];
      }
    }
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const bool is_short = in_short(slot);
      const int passing = passing_group(slot);
      float factor[2] = {}, sum[2] = {};
      const bool diagonal = slot == 0 || slot == kSlots - 1;
      if (!diagonal) {
        const int mine = own_group(is_short);
        const float between = all.between[mirror_ ? mine * kGroups + passing : passing * kGroups + mine];
#pragma unroll
        for (int row = 0; row < 2; ++row) factor[row] = (is_short ? own[1][row] : own[0][row]) * between;
      }
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int column = passing * 16 + half * 8 + lane() % 4 * 2;
        const float2 other = *reinterpret_cast<const float2*>(passing_factors + column);
#pragma unroll
        for (int row = 0; row < 2; ++row) {
          float gate[2] = {factor[row] * other.x, factor[row] * other.y};
          if (diagonal) {
            const int token = own_token(slot == 0 ? 0 : 1, row);
            gate[0] = scale * diagonal_factor(token, column);
            gate[1] = scale * diagonal_factor(token, column + 1);
          }
          sum[row] += visit(slot, half, row, column, is_short, gate);
        }
      }
#pragma unroll
      for (int row = 0; row < 2; ++row) add_to_row(rows, slot, row, sum[row]);
    }
  }

  /// Adds a slot's part of a row to the row of its strip.
  __device__ static void add_to_row(Rows& rows, int slot, int row, float sum) {
    const bool is_short = in_short(slot);
    if (slot < kSlots - 1) rows[0][row] += is_short ? 0.0F : sum;
    if (slot > kWarps) rows[1][row] += is_short ? sum : 0.0F;
  }

  /// Calls store(slice, sum) with weights · tensor, the next run, slice by slice; weights(slot, n) is a register of
  /// them.
  template <typename Of, typename Store>
  __device__ void sum_slices(const Of& weights, const Store& store) {
    const int summed = lane() % 16 * kSlicePitch + lane() / 16 * 8;
#pragma unroll 1
    for (int slice = 0; slice < slices_; ++slice) {
      begin_step(1);
      const T* tile = next_tile() + summed;
      Sum sum = {};
#pragma unroll
      for (int slot = 0; slot < kSlots; ++slot) {
        const T* group = tile + passing_group(slot) * kGroupPitch;
        // A slot between adds zeros to the strip whose it is not.
        const bool is_short = in_short(slot);
        std::uint32_t of_long[4], of_short[4];
#pragma unroll
        for (int n = 0; n < 4; ++n) {
          const std::uint32_t w = weights(slot, n);
          of_long[n] = is_short ? 0 : w;
          of_short[n] = is_short ? w : 0;
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

  /// Writes a slice of a result, each row times its factor.
  __device__ void store(const Tensor4& out, int slice, const Sum& sum, const Rows& factor) const {
    T* head = head_of<T>(out) + slice * kSliceWidth;
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = own_token(strip, half);
        store_row(head + token * out.sequence_stride, sum[strip], half, factor[strip][half],
                  shape_.DH - slice * kSliceWidth, inside(token));
      }
    }
  }

  /// Writes the sums over rows to `to` [B, NH, S].
  __device__ void store_rows(const Rows& rows, float* to) const {
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = sum_of_quad(rows[strip][half]);
        const int token = own_token(strip, half);
        if (lane() % 4 == 0 && inside(token)) to[at(token)] = sum;
      }
    }
  }

  /// The chunk's token that is row g (half 0) or g + 8 (half 1) of a strip.
  __device__ int own_token(int strip, int half) const { return own_group(strip != 0) * 16 + lane() / 4 + 8 * half; }

 private:
  __device__ int token_group(int g) const { return g ^ mirror_; }
  __device__ int own_group(bool is_short) const { return token_group(is_short ? warp() : kGroups - 1 - warp()); }
  /// Whether a slot is the short strip's.
  __device__ static bool in_short(int slot) {
    return slot == kSlots - 1 || (slot > kWarps && slot >= kGroups - warp());
  }
  /// The group of tokens that passes by in a slot.
  __device__ int passing_group(int slot) const {
    return token_group(in_short(slot) ? warp() - (kSlots - 1 - slot) : kGroups - 1 - warp() - slot);
  }
  __device__ T* slot_at(int slot) const { return dynamic_shared<T>() + slot * kTile; }
  __device__ int after(int slot) const { return slot + 1 == kMmaRing ? 0 : slot + 1; }
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

  __device__ float diagonal_factor(int own, int other) const {
    return factor_within_group(terms(), mirror_ ? other : own, mirror_ ? own : other);
  }

  /// Waits for the next `count` tiles and starts those that may follow.
  __device__ void begin_step(int count) {
    copy_async_wait<kMmaRing - 4>();  // at least: the last step used, and this one uses, at most two
    __syncthreads();                  // the tiles are there, for all, and those of the step before are used up
    while (free_ > 0) start_next();
    free_ = count;
  }

  /// Starts copying the next slice of the runs: kTokens × kSliceWidth; zeros outside.
  __device__ void start_next() {
    if (run_ < run_count_) {
      const ChunkSource* run = &terms().sources[2 * run_];
      const bool pairs = run[1].first != nullptr;
      const ChunkSource& source = run[pairs ? in_run_ & 1 : 0];
      const int from = (pairs ? in_run_ >> 1 : in_run_) * kSliceWidth;
      // A thread keeps its channels and goes down the tokens; those beyond have none.
      constexpr int kPieces = kSliceWidth / 8, kRows = kThreads / kPieces;
      const int row = static_cast<int>(threadIdx.x) / kPieces, channel = static_cast<int>(threadIdx.x) % kPieces * 8;
      const T* first = static_cast<const T*>(source.first);
      const T* at = first + row * source.stride + from + channel;
      const std::int64_t step = kRows * source.stride;
      T* to = slot_at(start_slot_) + row * kSlicePitch + channel;
      const int rows = row >= kRows ? -1 : from + channel < shape_.DH ? tokens_ : 0;
#pragma unroll
      for (int n = 0; n < (kTokens + kRows - 1) / kRows; ++n) {
        const int token = row + n * kRows;
        if (rows >= 0 && token < kTokens)
          copy_async_16(to + n * kRows * kSlicePitch, token < rows ? at : first, token < rows);
        at += step;
      }
      if (++in_run_ == (pairs ? 2 * slices_ : slices_)) {
        in_run_ = 0;
        ++run_;
      }
    }
    copy_async_commit();
    start_slot_ = after(start_slot_);
    --free_;
  }

  const MlstmShape& shape_;
  int slices_;  // of a head
  std::int64_t batch_, head_;
  std::int64_t first_, row_;  // the chunk's first token, in [B, NH, S] and in the sequence
  int tokens_;                // of the chunk
  int mirror_ = 0;            // what turns a group of the triangle into one of tokens
  int free_;                  // slots of the ring that are used up
  int start_slot_ = 0, use_slot_ = 0, run_count_ = 0, run_ = 0, in_run_ = 0;
};

}  // namespace axlstm::kernels

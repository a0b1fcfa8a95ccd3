// How a thread block of the cell's Hopper kernels goes over heads of chunks of up to 256 tokens, one after the other: a
// warp copies slices of 64 channels into a ring in shared memory by TMA and runs ahead of two warpgroups that multiply
// them by wgmma.
//
// The lower triangle of a chunk is 10 tiles of 64 × 64 scores, in 4 tile rows and 4 tile columns: tile (r, c) has the
// tokens i from 64 r on as rows and the tokens j from 64 c on as columns. Scores are accumulated in registers. Weights
// made of them lie in shared memory, from where they are multiplied by rows, for sums over j ≤ i, and by columns, for
// sums over i ≥ j. A warpgroup has two strips of the triangle, one long, one short, five tiles together: of tile rows 3
// and 0, or 2 and 1; of tile columns 0 and 3, or 1 and 2.
#pragma once

#include "hopper.cuh"
#include "mlstm_terms.cuh"

namespace axlstm::kernels {

/// What a token brings along of its row.
struct TokenRow {
  float before = 0.0F, bound = 0.0F, sign = 0.0F;
};

/// kWidth: channels of a slice; its tiles have kTileWidth, and are read that far.
template <typename T, int kWidth = kTileWidth>
class HopperChunk : public HopperLayout {
 public:
  using Terms = HopperTerms;
  using Scores = float[kSlots][8][4];
  static constexpr int kEighths = kWidth / 8;
  using Sums = float[2][kEighths][4];  // of the long and the short strip
  using Rows = float[2][2];            // of a lane: [long, short strip][row g, row g + 8 of its warp's]

  static constexpr int kTileElements = kTileHeight * kTileWidth, kSliceElements = kTokens * kTileWidth;
  static_assert(kTokens == kConsumers);

  __device__ explicit HopperChunk(const MlstmShape& shape)
      : shape_(shape),
        slices_(static_cast<int>((shape.DH + kWidth - 1) / kWidth)),
        // From one lane to all, so that the compiler sees that warps do not diverge.
        warpgroup_(__shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / kWarpgroup, 0)) {
    if (threadIdx.x == 0) {
      for (int slot = 0; slot < kRing; ++slot) {
        barrier_init(full(slot), 1);
        barrier_init(empty(slot), kConsumers / kWarp);
      }
      barrier_init_done();
    }
    __syncthreads();
  }

  /// Chunks of all heads.
  __device__ unsigned count() const { return static_cast<unsigned>(shape_.B * shape_.NH) * chunks(); }
  /// Goes to chunk `number` of count().
  __device__ void begin(unsigned number) {
    const unsigned pair = number / chunks(), heads = static_cast<unsigned>(shape_.NH);
    first_ = static_cast<int>(number % chunks() * shape_.chunk);
    batch_ = static_cast<int>(pair / heads);
    head_ = static_cast<int>(pair % heads);
    row_ = pair * shape_.S + first_;
    tokens_ = static_cast<int>(shape_.S - first_ < shape_.chunk ? shape_.S - first_ : shape_.chunk);
  }

  __device__ bool consumes() const { return warpgroup_ < 2; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % kWarp; }
  __device__ float scale() const { return rsqrtf(static_cast<float>(shape_.DH)); }
  __device__ int slices() const { return slices_; }
  /// Of the head, from the slice's first on.
  __device__ int channels(int slice) const { return static_cast<int>(shape_.DH) - slice * kWidth; }
  /// Where token `token` of the chunk is in [B, NH, S].
  __device__ std::int64_t at(int token) const { return row_ + token; }
  __device__ bool inside(int token) const { return token < tokens_; }
  __device__ static Terms& terms() { return *reinterpret_cast<Terms*>(weight_tile(kTiles)); }

  /// The copying warp's: sends the slices of a tensor, or of two by turns, through the ring.
  __device__ void send(const TensorMap& first, const TensorMap* second = nullptr) {
#pragma unroll 1
    for (int slice = 0; slice < slices_; ++slice) {
      send_slice(first, slice);
      if (second != nullptr) send_slice(*second, slice);
    }
  }

  /// Waits for the next slice of the ring.
  __device__ T* receive() {
    const int slot = static_cast<int>(used_ % kRing);
    barrier_wait(full(slot), used_ / kRing % 2);
    ++used_;
    return slice_at(slot);
  }
  /// Gives back the first `count` slices that have not been given back.
  __device__ void release(int count) {
    __syncwarp();
    for (int n = 0; n < count; ++n) {
      if (lane() == 0) barrier_arrive(empty(static_cast<int>(released_ % kRing)));
      ++released_;
    }
  }

  /// Waits for both warpgroups.
  __device__ static void sync() { sync_threads<1>(kConsumers); }

  /// This thread's token's gates and row, to be read early. `n` is null in the forward pass.
  __device__ TokenGates gates(const GateState& state, const float* n) const {
    const int token = static_cast<int>(threadIdx.x);
    return token_gates(state, n, shape_.eps, at(token), inside(token));
  }
  __device__ TokenRow row(const GateState& state, const float* n, const float* before) const {
    const int token = static_cast<int>(threadIdx.x);
    if (!inside(token)) return {};
    const float bound = state.bound[at(token)];
    return {before != nullptr ? before[at(token)] : 0.0F, bound,
            n != nullptr ? normaliser(n[at(token)], bound, shape_.eps).sign : 0.0F};
  }
  /// Fills the terms. Nobody may read those of the chunk before any more: they are read until its last weights_done().
  __device__ void fill(const TokenGates& gates, const TokenRow& row) const {
    const int token = static_cast<int>(threadIdx.x);
    put_gates(terms(), token, gates);
    terms().before[token] = row.before;
    terms().bound[token] = row.bound;
    terms().sign[token] = row.sign;
    sync();
    put_factors(terms(), token, tokens_, gates);
    sync();
  }

  /// scores = left · rightᵀ on this warpgroup's tiles, for the next two tensors of the ring.
  __device__ void make_scores(Scores& scores) {
    multiply_slices<2>(scores, [&](int) {
      const T* left = receive();
      return Operands{left, receive()};
    });
  }

  /// Sums of zero, to be called for all that the next products go into before the first of these starts.
  template <typename... All>
  __device__ static void begin_sums(All&... sums) {
    (set_zero(sums), ...);
    (hold(sums), ...);
    wgmma_fence();
  }
  /// Starts sums += weights · slice, or weightsᵀ · slice by columns, on this warpgroup's strips.
  template <bool kByColumns>
  __device__ void add_products(Sums& sums, const T* slice) const {
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
      const int own = own_tile_row<kByColumns>(strip), count = kByColumns ? kTilesAcross - own : own + 1;
#pragma unroll 1
      for (int n = 0; n < count; ++n) {
        const int passing = kByColumns ? own + n : n;
        const int tile = kByColumns ? tile_of(passing, own) : tile_of(own, passing);
        const auto a = tile_descriptor(weight_tile(tile)), b = tile_descriptor(slice + passing * kTileElements);
#pragma unroll
        for (int step = 0; step < kTileHeight / 16; ++step) {
          wgmma<T, kByColumns, true>(sums[strip], step_of<kByColumns>(a, step), step_of<true>(b, step));
        }
      }
    }
  }

  /// Calls visit(slot, eighth of its columns, half of its rows, strip, gate factors scale·exp(g_j − G_i) / N_i of two
  /// columns; in the forward pass without N_i) for all of this thread's elements of its scores, two by two.
  template <typename Visit>
  __device__ void visit(float scale, const Visit& visit) const {
    const Terms& all = terms();
    float own[2][2], diagonal[2][2][2];
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int half = 0; half < 2; ++half) own[strip][half] = scale * all.i_factor[own_token<false>(strip, half)];
    }
#pragma unroll
    for (int slot = 0; slot < kSlots; ++slot) {
      const int strip = in_short(slot) ? 1 : 0, group = tile_row(slot) * 4 + warp();
      // The long strip meets the diagonal in one of two slots, the short one in the last.
      if (slot == kSlots - 3) fill_diagonal(diagonal, kTilesAcross - 1 - warpgroup_, scale);
      if (slot == kSlots - 1) fill_diagonal(diagonal, warpgroup_, scale);
      // All loads before the first store: the compiler cannot know that these change nothing that is loaded.
      float between[4];
      float2 other[8];
#pragma unroll
      for (int n = 0; n < 4; ++n) between[n] = all.between[(tile_column(slot) * 4 + n) * Terms::kGroups + group];
#pragma unroll
      for (int n = 0; n < 8; ++n) {
        other[n] =
            *reinterpret_cast<const float2*>(all.j_factor + tile_column(slot) * kTileHeight + n * 8 + lane() % 4 * 2);
      }
#pragma unroll
      for (int eighth = 0; eighth < 8; ++eighth) {
        const bool is_diagonal = slot >= kSlots - 3 && tile_column(slot) * 4 + eighth / 2 == group;
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          const float factor = (strip != 0 ? own[1][half] : own[0][half]) * between[eighth / 2];
          const float(&exact)[2] = diagonal[eighth % 2][half];
          const float gate[2] = {is_diagonal ? exact[0] : factor * other[eighth].x,
                                 is_diagonal ? exact[1] : factor * other[eighth].y};
          visit(slot, eighth, half, strip, gate);
        }
      }
    }
  }
  /// Adds to the row of a strip; `strip` is known to the compiler for all slots but one.
  __device__ void add_to_row(Rows& rows, int slot, int half, float x) const {
    const bool is_short = in_short(slot);
    if (slot < kSlots - 1) rows[0][half] += is_short ? 0.0F : x;
    if (slot > kSlots - 3) rows[1][half] += is_short ? x : 0.0F;
  }

  /// Where a lane's elements of a tile begin: of its first row's first eighth. Recompute it in each phase: if it is
  /// kept in a variable, the compiler precomputes the addresses of all tiles and spills registers.
  __device__ static int lane_place() {
    const int row = lane() / 4;
    return opaque(warp() * 16 * kTileWidth + row * (kTileWidth + 8) + lane() % 4 * 2);
  }
  /// This thread's two elements of the weights that belong to two of its scores.
  __device__ std::uint32_t& weight(int place, int slot, int eighth, int half) const {
    return element(weight_tile(tile_of(tile_row(slot), tile_column(slot))), place, eighth, half);
  }
  /// Shows the weights to both warpgroups' products.
  __device__ static void weights_done() {
    fence_async_proxy();
    sync();
  }

  /// Σ over a slice's channels of sums · slice, row by row of the strips.
  template <bool kByColumns>
  __device__ void add_dots(Rows& dots, const Sums& sums, const T* slice) const {
    const int place = lane_place();
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
      const T* tile = slice + own_tile_row<kByColumns>(strip) * kTileElements;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
#pragma unroll
        for (int eighth = 0; eighth < kEighths; ++eighth) {
          const float2 x = unpack<T>(element(tile, place, eighth, half));
          dots[strip][half] += sums[strip][eighth][2 * half] * x.x + sums[strip][eighth][2 * half + 1] * x.y;
        }
      }
    }
  }

  /// Writes a slice of a result, each row times its factor.
  template <bool kByColumns>
  __device__ void store(const Tensor4& out, int slice, const Sums& sums, const Rows& factor) const {
    T* head = static_cast<T*>(out.data) + batch_ * out.batch_stride + head_ * out.head_stride +
              first_ * out.sequence_stride + slice * kWidth;
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = own_token<kByColumns>(strip, half);
        store_row(head + token * out.sequence_stride, sums[strip], half, factor[strip][half], channels(slice),
                  inside(token));
      }
    }
  }

  /// Writes what add_dots() has added up, over the lanes of each row and times `factor`, to `to` [B, NH, S].
  template <bool kByColumns>
  __device__ void store_dots(const Rows& sums, float factor, float* to) const {
#pragma unroll
    for (int strip = 0; strip < 2; ++strip) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = factor * sum_of_quad(sums[strip][half]);
        const int token = own_token<kByColumns>(strip, half);
        if (lane() % 4 == 0 && inside(token)) to[at(token)] = sum;
      }
    }
  }

  /// The chunk's token that is row g (half 0) or g + 8 (half 1) of this warp in a strip.
  template <bool kByColumns>
  __device__ int own_token(int strip, int half) const {
    return own_tile_row<kByColumns>(strip) * kTileHeight + warp() * 16 + lane() / 4 + 8 * half;
  }

 protected:
  /// A slice of each factor of the scores.
  struct Operands {
    const T *left, *right;
  };
  /// Adds up the products of operands(slice), each of which holds kReceived slices of the ring.
  template <int kReceived, typename Of>
  __device__ void multiply_slices(Scores& scores, const Of& operands) {
    set_zero(scores);
    for (int slice = 0; slice < slices_; ++slice) {
      const auto [left, right] = operands(slice);
      hold(scores);
      wgmma_fence();
#pragma unroll 1
      for (int step = 0; step < kWidth / 16 && 16 * step < channels(slice); ++step) {
#pragma unroll
        for (int slot = 0; slot < kSlots; ++slot) {
          const auto a = tile_descriptor(left + tile_row(slot) * kTileElements);
          const auto b = tile_descriptor(right + tile_column(slot) * kTileElements);
          wgmma<T, false, false>(scores[slot], step_of<false>(a, step), step_of<false>(b, step));
        }
      }
      wgmma_commit();
      if (slice > 0) {
        wgmma_wait<1>();
        release(kReceived);
      }
    }
    wgmma_wait<0>();
    hold(scores);
    release(kReceived);
  }
  template <int kStrips, int kColumns>
  __device__ static void set_zero(float (&sums)[kStrips][kColumns][4]) {
#pragma unroll
    for (int n = 0; n < 4 * kColumns * kStrips; ++n) sums[n / (4 * kColumns)][n / 4 % kColumns][n % 4] = 0.0F;
  }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / kWarp % 4; }
  __device__ void sync_warpgroup() const {
    if (warpgroup_ == 0) {
      sync_threads<2>(kWarpgroup);
    } else {
      sync_threads<3>(kWarpgroup);
    }
  }
  template <bool kByColumns>
  __device__ int own_tile_row(int strip) const {
    return (strip == 0) == kByColumns ? warpgroup_ : kTilesAcross - 1 - warpgroup_;
  }
  /// Whether a slot of the scores is the short strip's.
  __device__ bool in_short(int slot) const { return slot == kSlots - 1 || (slot == kSlots - 2 && warpgroup_ == 1); }
  __device__ int tile_row(int slot) const { return in_short(slot) ? warpgroup_ : kTilesAcross - 1 - warpgroup_; }
  __device__ int tile_column(int slot) const { return in_short(slot) ? slot - (kTilesAcross - warpgroup_) : slot; }
  __device__ static int tile_of(int row, int column) { return row * (row + 1) / 2 + column; }

  __device__ unsigned chunks() const { return static_cast<unsigned>((shape_.S + shape_.chunk - 1) / shape_.chunk); }
  __device__ static T* slice_at(int slot) { return dynamic_shared<T>() + slot * kSliceElements; }
  __device__ static T* weight_tile(int tile) { return slice_at(kRing) + tile * kTileElements; }
  __device__ static Barrier& full(int slot) { return reinterpret_cast<Barrier*>(&terms() + 1)[slot]; }
  __device__ static Barrier& empty(int slot) { return full(kRing + slot); }

  /// This lane's gate factors, [eighth][half][column], of its warp's group on the diagonal tile of a tile row.
  __device__ void fill_diagonal(float (&gate)[2][2][2], int tile, float scale) const {
    const int group = (tile * 4 + warp()) * 16, row = group + lane() / 4, column = group + lane() % 4 * 2;
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      gate[n / 4][n / 2 % 2][n % 2] =
          scale * factor_within_group(terms(), row + 8 * (n / 2 % 2), column + 8 * (n / 4) + n % 2);
    }
  }

  /// This lane's two elements of an eighth of a tile's row.
  __device__ static std::uint32_t& element(const T* tile, int place, int eighth, int half) {
    return *reinterpret_cast<std::uint32_t*>(const_cast<T*>(tile) + (place ^ (eighth * 8)) + half * 8 * kTileWidth);
  }

  __device__ void send_slice(const TensorMap& map, int slice) {
    const int slot = static_cast<int>(used_ % kRing);
    barrier_wait(empty(slot), (used_ / kRing + 1) % 2);
    barrier_expect(full(slot), kSliceBytes);
    copy_box(slice_at(slot), map, full(slot), slice * kWidth, head_, first_, batch_);
    ++used_;
  }

  const MlstmShape& shape_;
  int slices_;     // of a head
  int warpgroup_;  // two that multiply, one that copies
  int batch_ = 0, head_ = 0;
  int first_ = 0, tokens_ = 0;        // of the chunk: its first token in the sequence, and how many
  std::int64_t row_ = 0;              // its first token in [B, NH, S]
  unsigned used_ = 0, released_ = 0;  // slices since the kernel's start
};

}  // namespace axlstm::kernels

// What a model is made of; plain values, free of LibTorch.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "axlstm/core/visitor.h"
#include "axlstm/nn/options.h"
#include "axlstm/ops/options.h"

namespace axlstm::model {

enum class Size { kTiny, kSmall, kMedium, kBase, kLarge, kHuge, kCustom };
constexpr auto enum_names(Size) { return std::array{"tiny", "small", "medium", "base", "large", "huge", "custom"}; }

enum class MaskMode { kUnstructured, kTimestep };
constexpr auto enum_names(MaskMode) { return std::array{"unstructured", "timestep"}; }

enum class LossRegion { kMasked, kAll };
constexpr auto enum_names(LossRegion) { return std::array{"masked", "all"}; }

/// The order in which blocks see the patches: frame by frame, each from the lowest frequency up; or frequency by
/// frequency, each from the first frame on.
enum class PatchOrder { kTime, kFrequency };
constexpr auto enum_names(PatchOrder) { return std::array{"time", "frequency"}; }

struct EncoderOptions {
  std::string arch = "axlstm";  ///< name of an architecture (architecture.h)
  Size size = Size::kTiny;
  std::int64_t dim = 0;              ///< D; 0: from size
  std::int64_t depth = 0;            ///< blocks; 0: from size
  std::int64_t attention_heads = 0;  ///< of attention; 0: from size
  std::int64_t expansion = 3;        ///< I = expansion · D
  std::int64_t state = 24;           ///< N, of Mamba's channels
  bool flip = false;                 ///< odd blocks run backwards in time
  ops::InputGate input_gate = ops::InputGate::kExponential;
  bool class_token = true;
  nn::Activation activation = nn::Activation::kGelu;
  bool train_positions = false;
  std::int64_t frames = 200;  ///< L, the frames of one crop or chunk
  std::int64_t mels = 80;     ///< F
  std::int64_t patch_frames = 4;
  std::int64_t patch_mels = 16;
  PatchOrder patch_order = PatchOrder::kTime;
  ops::Backend backend = ops::Backend::kAuto;
  ops::Isa isa = ops::Isa::kAuto;
  bool recompute = false;

  std::int64_t grid_rows() const { return frames / patch_frames; }
  std::int64_t grid_columns() const { return mels / patch_mels; }
  std::int64_t patches() const { return grid_rows() * grid_columns(); }    ///< N
  std::int64_t patch_pixels() const { return patch_frames * patch_mels; }  ///< P
  std::int64_t class_tokens() const { return class_token ? 1 : 0; }        ///< in front of the patches
};

struct MaskOptions {
  double ratio = 0.5;
  MaskMode mode = MaskMode::kUnstructured;
};

struct LossOptions {
  LossRegion region = LossRegion::kMasked;
  bool normalize_targets = false;
};

/// The decoder of a masked autoencoder.
struct DecoderOptions {
  std::int64_t dim = 384;
  std::int64_t depth = 4;
  std::int64_t heads = 8;
  std::vector<std::string> windows = {};  ///< of each head: tokens, or kGlobal; empty: plain attention
};
inline constexpr const char* kGlobal = "global";

/// What a classifier sees of an encoder's tokens: the mean of the patches', their mean over time (those of one time
/// step one behind the other, as in embeddings), the class token, or this and the mean, one behind the other.
enum class Pooling { kMean, kTimeMean, kClassToken, kBoth };
constexpr auto enum_names(Pooling) { return std::array{"mean", "time_mean", "class_token", "both"}; }

/// The head of a classifier.
struct HeadOptions {
  std::vector<std::string> classes = {};  ///< their names, in the order of the head's outputs
  Pooling pooling = Pooling::kMean;
  std::int64_t hidden = 0;  ///< units between; 0: a linear head
  bool norm = false;        ///< a layer norm in front
  double dropout = 0;
  std::int64_t windows = 1;  ///< of EncoderOptions::frames each, that make a crop; their embeddings are averaged

  std::int64_t outputs() const { return static_cast<std::int64_t>(classes.size()); }
  std::int64_t crop_frames(const EncoderOptions& encoder) const { return windows * encoder.frames; }
};

/// The windows as numbers, 0: global. Throws UsageError naming decoder.windows if one is neither, or does not divide
/// the encoder's patches, or there is not one for each head; and for what else of decoder.* does not fit the encoder.
std::vector<std::int64_t> checked_windows(const DecoderOptions& decoder, const EncoderOptions& encoder);

/// Sections `model` and `kernel`, but for mels, which is audio.mels.
void visit(EncoderOptions& model, Visitor& v);

/// Throws UsageError naming the key of section head that does not fit the encoder.
void check_head(const HeadOptions& head, const EncoderOptions& encoder);

/// Sections `mask`, `decoder`, `loss` and `head`.
void visit(MaskOptions& mask, Visitor& v);
void visit(DecoderOptions& decoder, Visitor& v);
void visit(LossOptions& loss, Visitor& v);
void visit(HeadOptions& head, Visitor& v);

/// Fills dim, depth and attention_heads from `size` and checks that everything fits together, and that no key of
/// another architecture is set.
/// Throws UsageError naming the key (as model.<key>), the value and the fix.
EncoderOptions resolve(EncoderOptions options);

/// The same with the keys of other architectures at their defaults: for configurations of an earlier version, which let
/// them pass.
EncoderOptions without_foreign_keys(EncoderOptions options);

/// Such as "axlstm tiny (D 192, 12 blocks, E 3, patches 4×16)".
std::string describe(const EncoderOptions& options);

}  // namespace axlstm::model

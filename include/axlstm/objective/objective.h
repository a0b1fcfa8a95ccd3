// What a training minimises. The trainer knows nothing else of the model. docs/extend.md tells how one is added.
#pragma once

#include <torch/nn/module.h>
#include <torch/types.h>

#include <filesystem>
#include <memory>

#include "axlstm/config/schema.h"
#include "axlstm/data/batch.h"
#include "axlstm/model/encoder.h"

namespace axlstm::objective {

class Classification;

class Objective {
 public:
  virtual ~Objective() = default;
  Objective() = default;
  Objective(const Objective&) = delete;
  Objective& operator=(const Objective&) = delete;

  /// Encoder and head: what is optimised and saved, under its state-dict names.
  virtual torch::nn::Module& module() = 0;

  /// Itself, if it predicts labels: data::Batch then has classes, and scores are computed of it.
  virtual Classification* classification() { return nullptr; }

  /// The random numbers of `batch` clips' losses (mask noise, …), one row a clip, on the CPU.
  virtual torch::Tensor draw(std::int64_t batch, torch::Generator generator) const = 0;

  /// Mean loss over the clips of a batch, a scalar. `drawn`: their rows of draw(), on the batch's device. The caller
  /// autocasts. The loss of a batch must be the mean of the losses of its clips.
  virtual torch::Tensor loss(const data::Batch& batch, const torch::Tensor& drawn) = 0;

  /// Draws what the model makes of the only clip of `batch` into a PNG file. False if there is nothing to show. Throws
  /// Error naming the file if it cannot be written.
  virtual bool draw_picture(const std::filesystem::path& png, const data::Batch& batch, const torch::Tensor& drawn);

  /// What extraction and eval.probe use; shares its weights with module().
  virtual model::Encoder encoder() = 0;

  /// Multiplications and additions of matrix products and convolutions in one clip's forward pass.
  virtual double forward_flops() const = 0;

  /// Of its backward pass: twice as many, unless parts of the model are frozen.
  virtual double backward_flops() const { return 2 * forward_flops(); }
};

/// The objective of a configuration. Weights are drawn from LibTorch's global generator.
std::unique_ptr<Objective> make_objective(const config::RunConfig& config);

}  // namespace axlstm::objective

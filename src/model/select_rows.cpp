#include "select_rows.h"

#include <torch/torch.h>

namespace axlstm::model {
namespace {

class SelectRows : public torch::autograd::Function<SelectRows> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x,
                               const torch::Tensor& rows) {
    context->save_for_backward({rows});
    context->saved_data["size"] = x.size(0);
    return x.index_select(0, rows);
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               const torch::autograd::tensor_list& gradients) {
    const auto size = context->saved_data["size"].toInt();
    const auto dx = torch::zeros({size, gradients[0].size(1)}, gradients[0].options());
    return {dx.index_copy_(0, context->get_saved_variables()[0], gradients[0]), torch::Tensor()};
  }
};

class PositionsOf : public torch::autograd::Function<PositionsOf> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& positions,
                               const torch::Tensor& rows, std::int64_t clips) {
    context->save_for_backward({rows});
    context->saved_data["clips"] = clips;
    context->saved_data["size"] = positions.size(0);
    return positions.index_select(0, rows.remainder(positions.size(0)));
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               const torch::autograd::tensor_list& gradients) {
    const auto clips = context->saved_data["clips"].toInt(), size = context->saved_data["size"].toInt();
    const auto all = torch::zeros({clips * size, gradients[0].size(1)}, gradients[0].options());
    all.index_copy_(0, context->get_saved_variables()[0], gradients[0]);
    return {all.view({clips, size, -1}).sum(0), torch::Tensor(), torch::Tensor()};
  }
};

class FillIn : public torch::autograd::Function<FillIn> {
 public:
  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& seen,
                               const torch::Tensor& token, const torch::Tensor& positions, const torch::Tensor& rows,
                               std::int64_t clips) {
    const std::int64_t size = positions.size(0);
    context->save_for_backward({rows});
    context->saved_data["dtype"] = static_cast<std::int64_t>(seen.scalar_type());
    const auto all = (positions + token).expand({clips, -1, -1}).contiguous();
    all.flatten(0, 1).index_copy_(0, rows, seen + positions.index_select(0, rows.remainder(size)));
    return all;
  }
  static torch::autograd::tensor_list backward(torch::autograd::AutogradContext* context,
                                               const torch::autograd::tensor_list& gradients) {
    const auto& gradient = gradients[0];  // [B, N, W]
    const auto dseen = gradient.flatten(0, 1).index_select(0, context->get_saved_variables()[0]);
    const auto dpositions = gradient.sum(0);
    const auto dtype = static_cast<torch::ScalarType>(context->saved_data["dtype"].toInt());
    return {dseen.to(dtype), dpositions.sum(0) - dseen.sum(0), dpositions, torch::Tensor(), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor select_rows(const torch::Tensor& x, const torch::Tensor& rows) { return SelectRows::apply(x, rows); }

torch::Tensor positions_of(const torch::Tensor& positions, const torch::Tensor& rows, std::int64_t clips) {
  return PositionsOf::apply(positions, rows, clips);
}

torch::Tensor fill_in(const torch::Tensor& seen, const torch::Tensor& token, const torch::Tensor& positions,
                      const torch::Tensor& rows, std::int64_t clips) {
  return FillIn::apply(seen, token, positions, rows, clips);
}

}  // namespace axlstm::model

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
    return {dx.index_copy(0, context->get_saved_variables()[0], gradients[0]), torch::Tensor()};
  }
};

}  // namespace

torch::Tensor select_rows(const torch::Tensor& x, const torch::Tensor& rows) { return SelectRows::apply(x, rows); }

}  // namespace axlstm::model

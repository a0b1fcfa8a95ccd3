#include "architecture.h"

#include "../ssast/architecture.h"

namespace axlstm::model {

/// The baseline's transformer with more to choose.
Architecture Mae::facts() {
  Architecture facts = Ssast::facts();
  facts.name = "mae";
  facts.summary = "the transformer of masked autoencoders (MAE, MW-MAE)";
  facts.marker = "";  // its names are the baseline's
  facts.keys = {"attention_heads", "class_token", "activation", "train_positions"};
  return facts;
}

}  // namespace axlstm::model

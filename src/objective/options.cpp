#include "axlstm/objective/options.h"

namespace axlstm::objective {

void visit(Kind& kind, Visitor& v) {
  v.begin_section("objective", "What pre-training minimises.");
  v.choice("name", kind,
           "masked_tokens: as in the paper; masked_autoencoder: the encoder sees visible patches alone (MAE; with "
           "decoder.windows MW-MAE), of any model.arch");
  v.end_section();
}

}  // namespace axlstm::objective

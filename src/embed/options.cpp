#include "axlstm/embed/options.h"

namespace axlstm::embed {

void visit(EmbeddingOptions& embedding, Visitor& v) {
  v.begin_section("embedding", "What extract writes.");
  v.choice("layout", embedding.layout,
           "how tokens are joined into time steps; released repeats the paper's code, which mixes the axes and made "
           "the published numbers",
           Effect::kNone);
  v.choice(
      "padding", embedding.padding,
      "what fills up a clip's last chunk: zeros, or the clip's own frames mirrored at its end, as MW-MAE's code does",
      Effect::kNone);
  v.end_section();
}

}  // namespace axlstm::embed

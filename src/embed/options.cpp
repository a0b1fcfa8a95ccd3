#include "axlstm/embed/options.h"

namespace axlstm::embed {

void visit(EmbeddingLayout& layout, Visitor& v) {
  v.begin_section("embedding", "What extract writes.");
  v.choice("layout", layout,
           "how tokens are joined into time steps; released repeats the paper's code, which mixes the axes and made "
           "the published numbers",
           Effect::kNone);
  v.end_section();
}

}  // namespace axlstm::embed

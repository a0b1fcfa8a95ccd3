// What the devices of a run could do at most. A step counts as three forward passes: the backward pass as two, and what
// is computed again to save memory not at all (Chowdhery et al., PaLM, appendix B).
#pragma once

#include <optional>
#include <string>

#include "axlstm/runtime/options.h"

namespace axlstm::train {

/// Dense matrix products a second that the data sheet of a GPU of this name promises in a resolved precision; nothing
/// for a GPU that is not in the table, and for fp32, which does not use the matrix units.
std::optional<double> peak_flops(const std::string& gpu_name, runtime::Precision precision);

}  // namespace axlstm::train

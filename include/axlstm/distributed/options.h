// How the processes of a run work together; plain values.
#pragma once

#include "axlstm/core/visitor.h"

namespace axlstm::distributed {

/// Several processes that train one model, each on its part of every batch.
struct DistributedOptions {
  bool overlap = true;
  double bucket_mb = 25;
  double heartbeat_s = 30;
  double timeout_s = 600;
};

/// Section `distributed`.
void visit(DistributedOptions& distributed, Visitor& v);

}  // namespace axlstm::distributed

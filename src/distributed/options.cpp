#include "axlstm/distributed/options.h"

namespace axlstm::distributed {

void visit(DistributedOptions& distributed, Visitor& v) {
  v.begin_section("distributed", "Several processes, each on its part of every batch. docs/distributed.md.");
  v.boolean("overlap", distributed.overlap, "sum gradients while the backward pass is computing others", Effect::kNone);
  v.number("bucket_mb", distributed.bucket_mb, {0.001, 1e5}, "MiB of gradients summed at once", Effect::kNone);
  v.number("heartbeat_s", distributed.heartbeat_s, {0.5, 3600},
           "seconds after which a rank that is not heard of is taken for dead, and the others end", Effect::kNone);
  v.number("timeout_s", distributed.timeout_s, {1, 1e6},
           "seconds for all ranks to meet, and for one sum; validation by rank 0 falls within one", Effect::kNone);
  v.end_section();
}

}  // namespace axlstm::distributed

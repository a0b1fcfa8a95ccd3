#include "axlstm/distributed/options.h"

namespace axlstm::distributed {

void visit(DistributedOptions& distributed, Visitor& v) {
  v.begin_section("distributed", "Several processes, each on its part of every batch. docs/distributed.md.");
  v.boolean("overlap", distributed.overlap, "sum gradients over ranks while the backward pass computes others",
            Effect::kNone);
  v.number("bucket_mb", distributed.bucket_mb, {0.001, 1e5}, "MiB of gradients summed at once", Effect::kNone);
  v.number("heartbeat_s", distributed.heartbeat_s, {0.5, 3600},
           "a rank without a sign of life for so many seconds is declared dead, and the others end", Effect::kNone);
  v.number("timeout_s", distributed.timeout_s, {1, 1e6},
           "seconds for all ranks to meet, and for one sum; validation by rank 0 falls within one", Effect::kNone);
  v.end_section();
}

}  // namespace axlstm::distributed

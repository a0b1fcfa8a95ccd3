// How the processes of a run work together; plain values.
#pragma once

namespace axlstm::distributed {

/// Several processes that train one model, each on its part of every batch.
struct DistributedOptions {
  bool overlap = true;      ///< sum gradients while others are still being computed
  double bucket_mb = 25;    ///< gradients summed at once, in MiB
  double heartbeat_s = 30;  ///< a rank not heard of for so long is taken for dead
  double timeout_s = 600;   ///< for ranks to meet, and for one sum
};

}  // namespace axlstm::distributed

// How long OpenMP's threads spin before they sleep.
#pragma once

namespace axlstm::cli {

/// Gives libgomp a bound for spinning that does not cost a machine with other work on it its speed, unless the user's
/// environment says how to wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT). Most of it has happened before main(); this puts
/// back into the environment what had to make room.
void finish_spinning_setup();

}  // namespace axlstm::cli

#include "axlstm/launch/signals.h"

namespace axlstm::launch {

bool is_heard(int signal) {
  struct sigaction action {};
  return signal != SIGHUP || ::sigaction(signal, nullptr, &action) != 0 || action.sa_handler != SIG_IGN;
}

}  // namespace axlstm::launch

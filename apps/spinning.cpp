// libgomp reads GOMP_SPINCOUNT when it is loaded, which is before main(), and has no function for it. Its threads spin
// 300,000 times at a barrier, milliseconds; where another process has the core of the thread that is waited for, all of
// that is lost at every barrier. (Sleeping at once costs more than it gains where nobody disturbs: operators are
// short.)
//
// So the variable is put into the environment before libraries are initialised: by a function in .preinit_array, which
// the dynamic loader calls first. The C library is not initialised then either: setenv() would be undone when it adopts
// the array of variables that the kernel left on the stack. That array has no room for another entry, but an entry can
// be exchanged for ours for as long as libraries are initialised. It is one that no library reads, and main() puts it
// back.
#include "spinning.h"

#include <cstdlib>

namespace {

char spin_count[] = "GOMP_SPINCOUNT=10000";
char* made_room = nullptr;  // the entry that ours stands in place of

#define AXLSTM_EARLY __attribute__((no_sanitize("address", "undefined", "thread")))

/// Whether an entry "name=value" is of this name; nothing of the C library may be called here.
AXLSTM_EARLY bool is(const char* entry, const char* name) {
  while (*name != '\0' && *entry == *name) ++entry, ++name;
  return *name == '\0' && *entry == '=';
}

AXLSTM_EARLY void set_spin_count(int, char**, char** environment) {
  const char* const unread[] = {"_",    "OLDPWD",   "SHLVL", "PWD",  "LOGNAME", "USER",
                                "MAIL", "HOSTNAME", "SHELL", "TERM", "HOME",    "PATH"};
  char** place = nullptr;
  for (char** entry = environment; *entry != nullptr; ++entry) {
    if (is(*entry, "OMP_WAIT_POLICY") || is(*entry, "GOMP_SPINCOUNT")) return;
    for (const char* name : unread) {
      if (place == nullptr && is(*entry, name)) place = entry;
    }
  }
  if (place == nullptr) return;  // an environment without any of them: libgomp's own count
  made_room = *place;
  *place = spin_count;
}

__attribute__((section(".preinit_array"), used)) void (*const before_libraries)(int, char**, char**) = &set_spin_count;

}  // namespace

namespace axlstm::cli {

void finish_spinning_setup() {
  if (made_room != nullptr) ::putenv(made_room);
  made_room = nullptr;
}

}  // namespace axlstm::cli

// What ThreadSanitizer is told of the emulator, so that it finds data races between the threads of a block: each is a
// fiber of its own, and only barriers put what one has done before what another does next. Without the sanitizer all
// of this is nothing.
#pragma once

#include <cstddef>
#include <vector>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
void __tsan_read_range(void* begin, unsigned long bytes);
void __tsan_write_range(void* begin, unsigned long bytes);
}
#endif

namespace axlstm::emulator {

#ifdef __SANITIZE_THREAD__

/// While one lives, what this thread reads and writes is the emulator's affair, not the kernel's.
class Unwatched {
 public:
  Unwatched() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  ~Unwatched() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};

/// Who accesses memory: a thread of the block, or its copy engine. Blocks run one after the other and share them.
class Agent {
 public:
  /// The one with this number of the block; the copy engine has the number after the last thread's.
  static Agent numbered(std::size_t n) {
    const Unwatched unwatched;
    static std::vector<void*> fibers;
    while (fibers.size() <= n) fibers.push_back(__tsan_create_fiber(0));
    return Agent(fibers[n]);
  }
  static Agent running() { return Agent(__tsan_get_current_fiber()); }
  /// To be followed at once by the change of the stack, if there is one.
  void run() const { __tsan_switch_to_fiber(fiber_, __tsan_switch_to_fiber_no_sync); }

 private:
  explicit Agent(void* fiber) : fiber_(fiber) {}
  void* fiber_;
};

/// A place where agents meet: what was done before reach() comes before what is done after pass().
class Meeting {
 public:
  void reach() { __tsan_release(&place_); }
  void pass() { __tsan_acquire(&place_); }

 private:
  char place_ = 0;
};

inline void watch_read(const void* from, std::size_t bytes) { __tsan_read_range(const_cast<void*>(from), bytes); }
inline void watch_write(void* to, std::size_t bytes) { __tsan_write_range(to, bytes); }

#else

struct Unwatched {
  Unwatched() {}  // not trivial: an unused variable is no mistake
};
struct Agent {
  static Agent numbered(std::size_t) { return {}; }
  static Agent running() { return {}; }
  void run() const {}
};
struct Meeting {
  void reach() {}
  void pass() {}
};
inline void watch_read(const void*, std::size_t) {}
inline void watch_write(void*, std::size_t) {}

#endif

/// Of the phases of a barrier, by turns: a thread may reach the next one before the last has passed this one.
class Meetings {
 public:
  Meeting& operator[](std::size_t phase) { return places_[phase % 2]; }

 private:
  Meeting places_[2];
};

}  // namespace axlstm::emulator

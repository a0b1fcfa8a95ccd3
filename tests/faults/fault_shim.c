/* Makes the system fail on purpose in the program that it is preloaded into (LD_PRELOAD).
 *
 *   AXLSTM_FAULT_PATH     faults concern files whose path begins with this
 *   AXLSTM_FAULT_KIND     disk-full: writing fails with ENOSPC; read-only: with EROFS; read-error: reading fails with EIO;
 *                         no-flush: fsync and fdatasync fail with AXLSTM_FAULT_ERRNO
 *   AXLSTM_FAULT_FIRST    number of the first call that fails, counted from 1; 0: none, calls are only counted
 *   AXLSTM_FAULT_CALLS    how many calls fail from there on; default: all
 *   AXLSTM_FAULT_OFFSET   read-error: only reads that touch this byte of the file count
 *   AXLSTM_FAULT_ERRNO    no-flush: the number of the error
 *   AXLSTM_FAULT_PROGRAM  only in the program of this name, not in those that it starts; default: in all
 *   AXLSTM_FAULT_COUNTER  file with a 64-bit number, which counts the calls of all processes together
 *   AXLSTM_CLOCK_BACK     "N S": from the N-th look on the clock (not the monotonic one) is S seconds late
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))real(#name))

static void* real(const char* name) { return dlsym(RTLD_NEXT, name); }

static const char *fault_path, *fault_kind;
static long long fault_first, fault_calls, fault_offset = -1;
static int fault_errno;
static _Atomic long long own_counter, *counter = &own_counter;
static long long clock_first, clock_seconds;
static _Atomic long long clock_looks;

__attribute__((constructor)) static void begin(void) {
  const char* text = getenv("AXLSTM_CLOCK_BACK");
  if (text) sscanf(text, "%lld %lld", &clock_first, &clock_seconds);
  fault_kind = getenv("AXLSTM_FAULT_KIND");
  if (!fault_kind) return;
  if ((text = getenv("AXLSTM_FAULT_PROGRAM")) && strcmp(text, program_invocation_short_name) != 0) return;
  if ((text = getenv("AXLSTM_FAULT_FIRST"))) fault_first = atoll(text);
  fault_calls = (text = getenv("AXLSTM_FAULT_CALLS")) ? atoll(text) : 1LL << 60;
  if ((text = getenv("AXLSTM_FAULT_ERRNO"))) fault_errno = atoi(text);
  if ((text = getenv("AXLSTM_FAULT_OFFSET"))) fault_offset = atoll(text);
  if ((text = getenv("AXLSTM_FAULT_COUNTER"))) {
    const int fd = REAL(open)(text, O_RDWR);
    void* shared = mmap(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd < 0 || shared == MAP_FAILED) {
      fprintf(stderr, "fault_shim: %s cannot be mapped\n", text);
      _exit(99);
    }
    counter = shared;
    close(fd);
  }
  fault_path = getenv("AXLSTM_FAULT_PATH"); /* last: from now on calls count */
}

static _Thread_local long long this_call;

/* Whether this call is to fail. */
static int fails(const char* path) {
  this_call = 0;
  if (!fault_path || !path || strncmp(path, fault_path, strlen(fault_path)) != 0) return 0;
  this_call = atomic_fetch_add(counter, 1) + 1;
  return fault_first > 0 && this_call >= fault_first && this_call - fault_first < fault_calls;
}

static int fails_fd(int fd) {
  if (!fault_path) return 0;
  const int before = errno;
  char link[64], path[4096];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t length = readlink(link, path, sizeof path - 1);
  errno = before;
  if (length < 0) return 0;
  path[length] = '\0';
  return fails(path);
}

static int is_kind(const char* kind) { return fault_kind && strcmp(fault_kind, kind) == 0; }
static int no_writing(void) { return is_kind("disk-full") || is_kind("read-only"); }
static int refuse(void) {
  errno = is_kind("read-only") ? EROFS : ENOSPC;
  return -1;
}

/* Opening a file that is there for writing succeeds on a full disk. */
static int opening_fails(const char* path, int flags) {
  if ((flags & O_ACCMODE) == O_RDONLY && !(flags & O_CREAT)) return 0;
  if (is_kind("disk-full")) return (flags & O_CREAT) && access(path, F_OK) != 0 && fails(path);
  return is_kind("read-only") && fails(path);
}

#define OPEN(name)                                  \
  int name(const char* path, int flags, ...) {      \
    va_list rest;                                   \
    va_start(rest, flags);                          \
    const mode_t mode = va_arg(rest, mode_t);       \
    va_end(rest);                                   \
    if (opening_fails(path, flags)) return refuse();\
    return REAL(name)(path, flags, mode);           \
  }
OPEN(open)
OPEN(open64)

#define FOPEN(name)                                                             \
  FILE* name(const char* path, const char* mode) {                              \
    const int flags = mode[0] == 'r' ? (strchr(mode, '+') ? O_RDWR : O_RDONLY) : O_WRONLY | O_CREAT; \
    if (opening_fails(path, flags)) return refuse(), NULL;                      \
    return REAL(name)(path, mode);                                              \
  }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int fd, const void* bytes, size_t count) {
  this_call = 0;
  if (no_writing() && fails_fd(fd)) return refuse();
  /* The last space on the disk takes a part of what comes before the failure. */
  if (this_call > 0 && this_call + 1 == fault_first && count > 1 && is_kind("disk-full")) count /= 2;
  return REAL(write)(fd, bytes, count);
}
ssize_t pwrite64(int fd, const void* bytes, size_t count, off64_t offset) {
  return no_writing() && fails_fd(fd) ? refuse() : REAL(pwrite64)(fd, bytes, count, offset);
}
ssize_t writev(int fd, const struct iovec* parts, int count) {
  return no_writing() && fails_fd(fd) ? refuse() : REAL(writev)(fd, parts, count);
}
int fsync(int fd) {
  if (is_kind("no-flush") && fails_fd(fd)) return errno = fault_errno, -1;
  return is_kind("disk-full") && fails_fd(fd) ? refuse() : REAL(fsync)(fd);
}
int fdatasync(int fd) { return fsync(fd); }
/* A full disk has no room to set aside either, and one that is only read sets none aside. */
int fallocate64(int fd, int mode, off64_t at, off64_t bytes) {
  return no_writing() && fails_fd(fd) ? refuse() : REAL(fallocate64)(fd, mode, at, bytes);
}
int fallocate(int fd, int mode, off_t at, off_t bytes) { return fallocate64(fd, mode, at, bytes); }
int mkdir(const char* path, mode_t mode) { return no_writing() && fails(path) ? refuse() : REAL(mkdir)(path, mode); }
int rename(const char* from, const char* to) {
  return no_writing() && fails(to) ? refuse() : REAL(rename)(from, to);
}
int unlink(const char* path) { return is_kind("read-only") && fails(path) ? refuse() : REAL(unlink)(path); }
int remove(const char* path) { return is_kind("read-only") && fails(path) ? refuse() : REAL(remove)(path); }

static int reading_fails(int fd, off64_t at, size_t count) {
  if (!is_kind("read-error") || (fault_offset >= 0 && (fault_offset < at || fault_offset >= at + (off64_t)count))) return 0;
  if (!fails_fd(fd)) return 0;
  errno = EIO;
  return 1;
}
ssize_t read(int fd, void* bytes, size_t count) {
  if (is_kind("read-error") && reading_fails(fd, lseek64(fd, 0, SEEK_CUR), count)) return -1;
  return REAL(read)(fd, bytes, count);
}
ssize_t pread64(int fd, void* bytes, size_t count, off64_t at) {
  return reading_fails(fd, at, count) ? -1 : REAL(pread64)(fd, bytes, count, at);
}
ssize_t pread(int fd, void* bytes, size_t count, off_t at) { return pread64(fd, bytes, count, at); }

static time_t late(void) {
  return clock_first > 0 && atomic_fetch_add(&clock_looks, 1) + 1 >= clock_first ? clock_seconds : 0;
}
int clock_gettime(clockid_t id, struct timespec* now) {
  const int result = REAL(clock_gettime)(id, now);
  if (result == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) now->tv_sec -= late();
  return result;
}
int gettimeofday(struct timeval* now, void* zone) {
  const int result = REAL(gettimeofday)(now, zone);
  if (result == 0) now->tv_sec -= late();
  return result;
}
time_t time(time_t* now) {
  struct timespec value;
  clock_gettime(CLOCK_REALTIME, &value);
  if (now) *now = value.tv_sec;
  return value.tv_sec;
}

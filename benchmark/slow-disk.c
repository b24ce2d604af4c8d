/* Preloaded into a process, this makes each wait for the disk take longer, as it does on the disks of servers: by
 * SLOW_DISK_MS milliseconds. Threads that wait at the same time do not wait for each other. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>

static void wait_for_the_disk(void) {
  const char *text = getenv("SLOW_DISK_MS");
  double milliseconds = text ? atof(text) : 0;
  long nanoseconds = (long)(milliseconds * 1e6);
  struct timespec left = {nanoseconds / 1000000000, nanoseconds % 1000000000};
  if (nanoseconds <= 0) return;
  while (nanosleep(&left, &left) != 0) {
  }
}

int fsync(int file) {
  int (*original)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  wait_for_the_disk();
  return original(file);
}

int fdatasync(int file) {
  int (*original)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  wait_for_the_disk();
  return original(file);
}

int sync_file_range(int file, off64_t from, off64_t bytes, unsigned int flags) {
  int (*original)(int, off64_t, off64_t, unsigned int) =
      (int (*)(int, off64_t, off64_t, unsigned int))dlsym(RTLD_NEXT, "sync_file_range");
  wait_for_the_disk();
  return original(file, from, bytes, flags);
}

int msync(void *start, size_t bytes, int flags) {
  int (*original)(void *, size_t, int) = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "msync");
  if (flags & MS_SYNC) wait_for_the_disk();
  return original(start, bytes, flags);
}

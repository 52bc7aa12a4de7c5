/* Steps the clock of one process: LD_PRELOAD, with the offset in milliseconds as text in the file FAULT_CLOCK names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile const char *offset_text;

__attribute__((constructor)) static void open_offset(void) {
  const char *path = getenv("FAULT_CLOCK");
  int fd = path ? open(path, O_RDONLY) : -1;
  if (fd < 0) return;
  void *page = mmap(0, 32, PROT_READ, MAP_SHARED, fd, 0);
  if (page != MAP_FAILED) offset_text = page;
  close(fd);
}

static long offset_ms(void) {
  char text[32];
  if (!offset_text) return 0;
  for (int i = 0; i < 31; i++) text[i] = offset_text[i];
  text[31] = 0;
  return atol(text);
}

int gettimeofday(struct timeval *restrict tv, void *restrict tz) {
  static int (*real)(struct timeval *, void *);
  if (!real) real = dlsym(RTLD_NEXT, "gettimeofday");
  int answer = real(tv, tz);
  if (tv) tv->tv_sec += offset_ms() / 1000;
  return answer;
}

int clock_gettime(clockid_t id, struct timespec *ts) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int answer = real(id, ts);
  if (id == CLOCK_REALTIME) ts->tv_sec += offset_ms() / 1000;
  return answer;
}

time_t time(time_t *out) {
  static time_t (*real)(time_t *);
  if (!real) real = dlsym(RTLD_NEXT, "time");
  time_t now = real(0) + offset_ms() / 1000;
  if (out) *out = now;
  return now;
}

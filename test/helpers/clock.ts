import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What to put into the environment of a program so that its calendar clock is `seconds` off; what measures durations is
 * left alone. Undefined where there is no C compiler or no LD_PRELOAD.
 */
export function clockOff(dir: string, seconds: number): Record<string, string> | undefined {
  if (process.platform !== 'linux') return undefined;
  const [source, library] = [join(dir, 'clock.c'), join(dir, 'clock.so')];
  writeFileSync(source, SOURCE.replaceAll('OFFSET', String(seconds)));
  try {
    execFileSync('cc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl'], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return { LD_PRELOAD: library };
}

const SOURCE = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
int gettimeofday(struct timeval *tv, void *tz) {
  static int (*real)(struct timeval *, void *);
  if (!real) real = (int (*)(struct timeval *, void *))dlsym(RTLD_NEXT, "gettimeofday");
  int r = real(tv, tz);
  if (tv) tv->tv_sec += OFFSET;
  return r;
}
int clock_gettime(clockid_t id, struct timespec *ts) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int r = real(id, ts);
  if (id == CLOCK_REALTIME) ts->tv_sec += OFFSET;
  return r;
}
`;

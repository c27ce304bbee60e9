/* The disk and the clock of the simulated world, preloaded into gbench and its worker.

   $SIM_DIR/fault holds an errno's name and a path: from then on what writes below that path fails so.
   $SIM_DIR/stop holds a part of a path: the first process that opens such a file stops there (SIGSTOP), once.
   $SIM_DIR/clock holds seconds: the time of day is that much later.
   Without these files every call goes on to the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum call { OPEN, WRITE, MAKE, CHANGE };

/* The text of a control file without its line end; 0: there is none. */
static int control(const char *name, char *text, size_t size) {
  const char *folder = getenv("SIM_DIR");
  char path[4096];
  if (folder == NULL || snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path) return 0;
  int file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  ssize_t got = syscall(SYS_read, file, text, size - 1);
  syscall(SYS_close, file);
  if (got <= 0) return 0;
  text[got] = 0;
  text[strcspn(text, "\n")] = 0;
  return 1;
}

/* The path of a call, absolute: relative ones begin in the folder of the descriptor, or in the working folder. */
static void absolute(int folder, const char *path, char *whole, size_t size) {
  char link[64], start[4096] = "";
  if (path[0] != '/') {
    if (folder == AT_FDCWD) strcpy(link, "/proc/self/cwd");
    else snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    ssize_t got = readlink(link, start, sizeof start - 2);
    start[got > 0 ? got : 0] = 0;
    strcat(start, "/");
  }
  snprintf(whole, size, "%s%s", start, path);
}

/* What errno the call fails with; 0: it goes on. */
static int failure(int folder, const char *path, enum call call) {
  char text[4300], name[16], below[4096], whole[8300];
  int kept = errno, found = 0;
  if (!control("fault", text, sizeof text) || sscanf(text, "%15s %4095s", name, below) != 2) { errno = kept; return 0; }
  absolute(folder, path, whole, sizeof whole);
  if (strncmp(whole, below, strlen(below)) == 0) {
    if (strcmp(name, "ENOSPC") == 0 && (call == WRITE || call == MAKE)) found = ENOSPC;
    if (strcmp(name, "EROFS") == 0) found = EROFS;
    if (strcmp(name, "EACCES") == 0 && call != WRITE) found = EACCES;
    if (strcmp(name, "EIO") == 0) found = EIO;
  }
  errno = kept;
  return found;
}

static void stop_at(int folder, const char *path) {
  char part[4096], whole[8300], control_file[4096], done[4096];
  int kept = errno;
  if (control("stop", part, sizeof part)) {
    absolute(folder, path, whole, sizeof whole);
    if (strstr(whole, part) != NULL) {
      snprintf(control_file, sizeof control_file, "%s/stop", getenv("SIM_DIR"));
      snprintf(done, sizeof done, "%s/stopped", getenv("SIM_DIR"));
      if (syscall(SYS_renameat, AT_FDCWD, control_file, AT_FDCWD, done) == 0) raise(SIGSTOP);
    }
  }
  errno = kept;
}

static int opened(int folder, const char *path, int flags) {
  int error = 0;
  stop_at(folder, path);
  if ((flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0) error = failure(folder, path, OPEN);
  if (error) errno = error;
  return error;
}

#define OPENS(name)                                                  \
  int name(const char *path, int flags, ...) {                       \
    va_list rest;                                                    \
    va_start(rest, flags);                                           \
    mode_t mode = va_arg(rest, mode_t);                              \
    va_end(rest);                                                    \
    return opened(AT_FDCWD, path, flags) ? -1 : NEXT(name)(path, flags, mode); \
  }
OPENS(open)
OPENS(open64)

#define OPENS_AT(name)                                               \
  int name(int folder, const char *path, int flags, ...) {           \
    va_list rest;                                                    \
    va_start(rest, flags);                                           \
    mode_t mode = va_arg(rest, mode_t);                              \
    va_end(rest);                                                    \
    return opened(folder, path, flags) ? -1 : NEXT(name)(folder, path, flags, mode); \
  }
OPENS_AT(openat)
OPENS_AT(openat64)

static int unwritable(int file) {
  char link[64], path[4096], text[2];
  int kept = errno;
  if (!control("fault", text, sizeof text)) { errno = kept; return 0; }
  snprintf(link, sizeof link, "/proc/self/fd/%d", file);
  ssize_t got = readlink(link, path, sizeof path - 1);
  path[got > 0 ? got : 0] = 0;
  if (path[0] != '/') { errno = kept; return 0; } /* a pipe or a socket */
  int error = failure(AT_FDCWD, path, WRITE);
  errno = error ? error : kept;
  return error;
}

ssize_t write(int file, const void *data, size_t size) { return unwritable(file) ? -1 : NEXT(write)(file, data, size); }
ssize_t pwrite64(int file, const void *data, size_t size, off64_t place) {
  return unwritable(file) ? -1 : NEXT(pwrite64)(file, data, size, place);
}

static int refused(int folder, const char *path, enum call call) {
  int error = failure(folder, path, call);
  if (error) errno = error;
  return error;
}

int mkdir(const char *path, mode_t mode) { return refused(AT_FDCWD, path, MAKE) ? -1 : NEXT(mkdir)(path, mode); }
int rename(const char *from, const char *to) { return refused(AT_FDCWD, to, CHANGE) ? -1 : NEXT(rename)(from, to); }
int unlink(const char *path) { return refused(AT_FDCWD, path, CHANGE) ? -1 : NEXT(unlink)(path); }

static long later(void) {
  char text[32];
  int kept = errno;
  long seconds = control("clock", text, sizeof text) ? atol(text) : 0;
  errno = kept;
  return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
  int result = NEXT(clock_gettime)(clock, now);
  if (result == 0 && clock == CLOCK_REALTIME) now->tv_sec += later();
  return result;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  int result = NEXT(gettimeofday)(now, zone);
  if (result == 0) now->tv_sec += later();
  return result;
}

time_t time(time_t *place) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (place != NULL) *place = now.tv_sec;
  return now.tv_sec;
}

// The settings, which are environment variables; the host's clock; the log.
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "fake.h"

long setting(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value && *value ? atol(value) : otherwise;
}

const char *text_setting(const char *name, const char *otherwise) {
    const char *value = getenv(name);
    return value && *value ? value : otherwise;
}

long now_ns(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000L + time.tv_nsec;
}

void sleep_until(long ns) {
    struct timespec time = {ns / 1000000000L, ns % 1000000000L};
    if (ns > now_ns())
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL)) continue;
}

void note(const char *format, ...) {
    const char *folder = getenv("FAKE_GPU_DIR");
    char path[4096], line[512];
    va_list values;
    if (!folder) return;
    va_start(values, format);
    int length = snprintf(line, sizeof line, "%d ", getpid());
    length += vsnprintf(line + length, sizeof line - length - 1, format, values);
    va_end(values);
    if (length > (int)sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    snprintf(path, sizeof path, "%s/log", folder);
    int file = open(path, O_CREAT | O_APPEND | O_WRONLY | O_CLOEXEC, 0600);
    if (file < 0) return;
    if (write(file, line, length) < 0) perror("fake_gpu: log");
    close(file);
}

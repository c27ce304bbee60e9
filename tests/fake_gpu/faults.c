// Which faults were asked for, and which have begun. Every process sees them by a file: $FAKE_GPU_DIR/KIND-GPU.
#include "faults.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

// The number of a fault that was asked for; -1: it was not.
static long number_of(const char *kind, int gpu) {
    const char *at = getenv("FAKE_GPU_FAULT");
    char begin[64];
    int length = snprintf(begin, sizeof begin, "%s:%d:", kind, gpu);
    for (; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (!strncmp(at, begin, length)) return atol(at + length);
    }
    return -1;
}

static bool path_of(const char *kind, int gpu, char path[4096]) {
    const char *folder = getenv("FAKE_GPU_DIR");
    return folder && snprintf(path, 4096, "%s/%s-%d", folder, kind, gpu) < 4096;
}

bool fault_begins(const char *kind, int gpu, long count) {
    char path[4096];
    long number = number_of(kind, gpu);
    if (number < 0 || count < number) return false;
    if (count == number && path_of(kind, gpu, path)) close(open(path, O_CREAT | O_WRONLY, 0600));
    return true;
}

bool fault_is_on(const char *kind, int gpu) {
    char path[4096];
    long number = number_of(kind, gpu);
    return number == 0 || (number > 0 && path_of(kind, gpu, path) && access(path, F_OK) == 0);
}

long slowness(int gpu) {
    long factor = number_of("slow", gpu);
    return factor > 0 ? factor : 1;
}

// A CUDA runtime without a GPU, to be preloaded before torch. Kernels do nothing, memory is the host's, and each stream
// has a clock of its own: work takes as long as FAKE_GPU_KERNEL_NS says. docs/testing.md explains it.
#pragma once
#define _GNU_SOURCE
#include <stdbool.h>
#include <stddef.h>
#pragma GCC visibility push(default)  // what these headers declare is what the library exports
#include <cuda.h>
#include <cuda_runtime_api.h>
#pragma GCC visibility pop
#include "faults.h"

enum { MOST_GPUS = 16, ON_HOST = -1, NOT_OURS = -2 };

// settings.c
long setting(const char *name, long otherwise);
const char *text_setting(const char *name, const char *otherwise);
long now_ns(void);           // CLOCK_MONOTONIC, which is also Python's perf_counter
void sleep_until(long ns);
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));  // a line of $FAKE_GPU_DIR/log

// devices.c
extern _Thread_local int current_device;
int gpu_count(void);         // those of CUDA_VISIBLE_DEVICES
int gpu_index(int device);   // NVML's index of a visible device
size_t gpu_bytes(void);
int gpu_capability(void);    // 80 for 8.0

// errors.c
cudaError_t fail(cudaError_t error);                              // returns it, and keeps it for cudaGetLastError
cudaError_t refuse(cudaError_t error, const char *call, const char *why);  // the same, and notes why
cudaError_t usable(void);                                         // whether the current device still works

// memory.c
int device_of(const void *address);  // a device, ON_HOST for pinned memory, NOT_OURS for all else
size_t bytes_used(int device);

// streams.c
struct CUstream_st {
    int device;
    long free_at_ns;             // when its last work ends
    long busy_ns, idle_ns;       // how long it has worked, and stood still between works
    struct Capture *capture;     // that it is part of
    bool joined;                 // in a capture: another stream waits for all of its work
};
struct CUevent_st {
    long at_ns;                  // when the work before it ends
    bool recorded, timing;
    cudaStream_t stream;         // that it was last recorded in
    struct Capture *capture;     // that it was recorded in
};
cudaStream_t stream_of(cudaStream_t handle);          // 0 and the other special handles -> a stream
cudaError_t add_work(cudaStream_t handle, long ns);   // a kernel or a copy
void stand_still_until(cudaStream_t stream, long ns);
cudaError_t wait_for(cudaStream_t handle, const char *call);
void wait_for_device(int device);
long kernel_ns(void);
cudaError_t add_kernel(cudaStream_t handle, long ns); // counts it, too: where faults begin
void count_kernels(long count);                       // that the current device has begun

// captures.c
struct Capture {
    cudaStream_t origin;
    enum cudaStreamCaptureMode mode;
    unsigned long long id;
    long ns;
    int nodes, kernels;
    bool invalid;
    bool over;
    struct Collective *collectives;  // in order
};
bool capture_forbids(const char *call);  // whether a capture forbids an unsafe call now; if so the capture is lost
void join_capture(cudaStream_t stream, struct Capture *capture);

// nccl.c
cudaError_t replay_collectives(const struct Collective *first, cudaStream_t stream);
void count_graph(const struct Collective *first, int change);  // that can be launched: of its communicator

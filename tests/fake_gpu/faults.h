// Faults on request: FAKE_GPU_FAULT=KIND:GPU:AFTER[,...], such as lost:0:500, GPU 0 is lost after 500 kernels.
#pragma once
#include <stdbool.h>

#define FAKE_NAME "Fake GPU (figures mean nothing)"  // unless FAKE_GPU_NAME is another; it is in every record

// Whether a fault of a kind has begun on a GPU after `count` of what it counts; kinds and counts:
//   out-of-memory  the allocations that succeed before all others fail
//   capture        the kernels of a capture before one of them is illegal
//   lost, ecc      the kernels before the GPU falls off the bus, or meets a memory error that it can't correct
//   throttled      as above; only NVML tells
bool fault_begins(const char *kind, int gpu, long count);
// Whether a fault has begun in any process. One of AFTER 0 has begun from the start.
bool fault_is_on(const char *kind, int gpu);
// slow:GPU:FACTOR: how many times as long as usual a GPU's kernels take.
long slowness(int gpu);

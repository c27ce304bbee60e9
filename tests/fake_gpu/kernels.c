// Kernels, which only take time, and what nvcc's code registers.
#include <stdlib.h>
#include <string.h>

#include "fake.h"

cudaError_t cudaLaunchKernel(const void *kernel, dim3 grid, dim3 block, void **arguments, size_t shared,
                             cudaStream_t stream) {
    return add_kernel(stream, kernel_ns());
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t *config, const void *kernel, void **arguments) {
    return add_kernel(config->stream, kernel_ns());
}

cudaError_t cudaLaunchCooperativeKernel(const void *kernel, dim3 grid, dim3 block, void **arguments, size_t shared,
                                        cudaStream_t stream) {
    return add_kernel(stream, kernel_ns());
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
    function(data);
    return cudaSuccess;
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t function, void *data, unsigned flags) {
    function(stream, cudaSuccess, data);
    return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *of, const void *kernel) {
    *of = (struct cudaFuncAttributes){.maxThreadsPerBlock = 1024, .numRegs = 32};
    of->binaryVersion = of->ptxVersion = gpu_capability();
    return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute attribute, int value) {
    return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *blocks, const void *kernel, int threads,
                                                                   size_t shared, unsigned flags) {
    *blocks = 2;
    return cudaSuccess;
}

// The functions that nvcc's code calls; no header declares them.
#pragma GCC visibility push(default)
static _Thread_local struct {
    dim3 grid, block;
    size_t shared;
    cudaStream_t stream;
} calls[16];
static _Thread_local int call_count;
static void *registered;

void **__cudaRegisterFatBinary(void *binary) { return &registered; }
void __cudaRegisterFatBinaryEnd(void **handle) {}
void __cudaUnregisterFatBinary(void **handle) {}
void __cudaRegisterFunction(void **handle, const char *host, char *device, const char *name, int threads, void *a,
                            void *b, void *c, void *d, int *warp) {}
void __cudaRegisterVar(void **handle, char *host, char *device, const char *name, int is_extern, size_t bytes,
                       int is_constant, int is_global) {}
char __cudaInitModule(void **handle) { return 0; }

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, size_t shared, cudaStream_t stream) {
    calls[call_count].grid = grid;
    calls[call_count].block = block;
    calls[call_count].shared = shared;
    calls[call_count++].stream = stream;
    return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3 *grid, dim3 *block, size_t *shared, void *stream) {
    *grid = calls[--call_count].grid;
    *block = calls[call_count].block;
    *shared = calls[call_count].shared;
    *(cudaStream_t *)stream = calls[call_count].stream;
    return cudaSuccess;
}

cudaError_t __cudaGetKernel(cudaKernel_t *kernel, const void *function) {  // CUDA 13
    *kernel = (cudaKernel_t)function;
    return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void **arguments, size_t shared,
                               cudaStream_t stream) {  // CUDA 13
    return add_kernel(stream, kernel_ns());
}
#pragma GCC visibility pop

// Which GPUs there are, and what they are.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fake.h"

_Thread_local int current_device;

size_t gpu_bytes(void) { return (size_t)setting("FAKE_GPU_GIB", 80) << 30; }

int gpu_capability(void) { return setting("FAKE_GPU_CAPABILITY", 80); }

// Reads CUDA_VISIBLE_DEVICES: indices, or UUIDs, whose digits are all those of one byte, 0x10 + index.
static int read_visible(int indices[MOST_GPUS]) {
    int there = setting("FAKE_GPU_COUNT", 1), count = 0;
    const char *entry = getenv("CUDA_VISIBLE_DEVICES");
    if (!entry) {
        for (; count < there; count++) indices[count] = count;
        return count;
    }
    for (; entry && *entry && count < MOST_GPUS; entry = strchr(entry, ',')) {
        entry += *entry == ',';
        char byte[3] = {0};
        bool uuid = !strncmp(entry, "GPU-", 4);
        if (uuid) memcpy(byte, entry + 4, 2);
        int index = uuid ? (int)strtol(byte, NULL, 16) - 0x10 : atoi(entry);
        if (index < 0 || index >= there) break;
        indices[count++] = index;
    }
    return count;
}

int gpu_count(void) {
    int indices[MOST_GPUS];
    return read_visible(indices);
}

int gpu_index(int device) {
    int indices[MOST_GPUS];
    return device < read_visible(indices) ? indices[device] : device;
}

cudaError_t cudaDriverGetVersion(int *version) {
    *version = setting("FAKE_GPU_DRIVER_CUDA", 13000);
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) {
    int driver;
    cudaDriverGetVersion(&driver);
    *count = 0;
    if (driver / 1000 < CUDART_VERSION / 1000) return fail(cudaErrorInsufficientDriver);
    *count = gpu_count();
    return *count ? cudaSuccess : fail(cudaErrorNoDevice);
}

cudaError_t cudaGetDevice(int *device) {
    *device = current_device;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
    int count;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error) return error;
    if (device < 0 || device >= count) return fail(cudaErrorInvalidDevice);
    current_device = device;
    return usable();
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *of, int device) {
    if (device < 0 || device >= gpu_count()) return fail(cudaErrorInvalidDevice);
    int index = gpu_index(device);
    *of = (struct cudaDeviceProp){
        .totalGlobalMem = gpu_bytes(), .major = gpu_capability() / 10, .minor = gpu_capability() % 10,
        .pciBusID = 0x10 + index, .multiProcessorCount = 108, .warpSize = 32,
        .maxThreadsPerBlock = 1024, .maxThreadsPerMultiProcessor = 2048, .maxBlocksPerMultiProcessor = 32,
        .maxThreadsDim = {1024, 1024, 64}, .maxGridSize = {2147483647, 65535, 65535},
        .regsPerBlock = 65536, .regsPerMultiprocessor = 65536, .l2CacheSize = 40 << 20,
        .sharedMemPerBlock = 49152, .sharedMemPerBlockOptin = 166912, .sharedMemPerMultiprocessor = 167936,
        .memPitch = 2147483647, .textureAlignment = 512, .memoryBusWidth = 5120, .asyncEngineCount = 3,
        .canMapHostMemory = 1, .concurrentKernels = 1, .unifiedAddressing = 1, .cooperativeLaunch = 1,
        .hostRegisterSupported = 1, .memoryPoolsSupported = 1, .computePreemptionSupported = 1,
    };
    snprintf(of->name, sizeof of->name, "%s", text_setting("FAKE_GPU_NAME", FAKE_NAME));
    memset(&of->uuid, 0x10 + index, sizeof of->uuid);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    struct cudaDeviceProp of;
    cudaError_t error = cudaGetDeviceProperties(&of, device);
    if (error) return error;
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = of.maxThreadsPerBlock; break;
    case cudaDevAttrMaxBlockDimX: *value = of.maxThreadsDim[0]; break;
    case cudaDevAttrMaxBlockDimY: *value = of.maxThreadsDim[1]; break;
    case cudaDevAttrMaxBlockDimZ: *value = of.maxThreadsDim[2]; break;
    case cudaDevAttrMaxGridDimX: *value = of.maxGridSize[0]; break;
    case cudaDevAttrMaxGridDimY: *value = of.maxGridSize[1]; break;
    case cudaDevAttrMaxGridDimZ: *value = of.maxGridSize[2]; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = of.sharedMemPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = of.sharedMemPerBlockOptin; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = of.sharedMemPerMultiprocessor; break;
    case cudaDevAttrWarpSize: *value = of.warpSize; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = of.regsPerBlock; break;
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = of.regsPerMultiprocessor; break;
    case cudaDevAttrMultiProcessorCount: *value = of.multiProcessorCount; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = of.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrComputeCapabilityMajor: *value = of.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = of.minor; break;
    default: *value = 1;  // what else torch asks for are features
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = 0;
    *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) {
    *can = device != peer;
    return cudaSuccess;
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) { return cudaSuccess; }

cudaError_t cudaDeviceGetPCIBusId(char *text, int length, int device) {
    snprintf(text, length, "0000:%02X:00.0", 0x10 + gpu_index(device));
    return cudaSuccess;
}

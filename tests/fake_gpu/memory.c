// Memory of the GPUs and pinned memory: pages of the host, which the kernel provides when they are first written.
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "fake.h"

enum { MOST_BLOCKS = 1 << 16 };
static const size_t CONTEXT = 500u << 20;  // of a GPU's memory, for its context
static struct Block {
    char *begin;
    size_t bytes;
    int device;
} blocks[MOST_BLOCKS];  // a freed one has no bytes
static int block_count;
static size_t used[MOST_GPUS];
static long allocations;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct Block *find(const void *address) {
    for (int i = 0; i < block_count; i++)
        if ((char *)address >= blocks[i].begin && (char *)address < blocks[i].begin + blocks[i].bytes) return blocks + i;
    return NULL;
}

static cudaError_t take(void **address, size_t bytes, int device) {
    if (bytes == 0) {
        *address = NULL;
        return cudaSuccess;
    }
    cudaError_t error = cudaErrorMemoryAllocation;
    pthread_mutex_lock(&lock);
    bool fits = device < 0 || used[device] + bytes <= gpu_bytes() - CONTEXT;
    bool fault = device >= 0 && fault_begins("out-of-memory", gpu_index(device), allocations++);
    int place = 0;
    while (place < block_count && blocks[place].bytes) place++;
    if (fits && !fault && place < MOST_BLOCKS) {
        void *begin = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (begin != MAP_FAILED) {
            madvise(begin, bytes, MADV_NOHUGEPAGE);  // a byte written takes a small page
            blocks[place] = (struct Block){begin, bytes, device};
            if (place == block_count) block_count++;
            if (device >= 0) used[device] += bytes;
            *address = begin;
            error = cudaSuccess;
        }
    }
    pthread_mutex_unlock(&lock);
    return fail(error);
}

static cudaError_t drop(void *address) {
    if (!address) return cudaSuccess;
    pthread_mutex_lock(&lock);
    struct Block *block = find(address);
    if (block) {
        munmap(block->begin, block->bytes);
        if (block->device >= 0) used[block->device] -= block->bytes;
        *block = (struct Block){0};
    }
    pthread_mutex_unlock(&lock);
    return block ? cudaSuccess : fail(cudaErrorInvalidValue);
}

int device_of(const void *address) {
    pthread_mutex_lock(&lock);
    struct Block *block = find(address);
    int device = block ? block->device : NOT_OURS;
    pthread_mutex_unlock(&lock);
    return device;
}

size_t bytes_used(int device) { return used[device]; }

cudaError_t cudaMalloc(void **address, size_t bytes) {
    if (capture_forbids("cudaMalloc")) return fail(cudaErrorStreamCaptureUnsupported);
    cudaError_t error = usable();
    return error ? error : take(address, bytes, current_device);
}

cudaError_t cudaFree(void *address) {
    if (capture_forbids("cudaFree")) return fail(cudaErrorStreamCaptureUnsupported);
    cudaError_t error = usable();
    if (error) return error;
    if (address) wait_for_device(current_device);
    return drop(address);
}

cudaError_t cudaHostAlloc(void **address, size_t bytes, unsigned flags) {
    if (capture_forbids("cudaHostAlloc")) return fail(cudaErrorStreamCaptureUnsupported);
    cudaError_t error = usable();
    return error ? error : take(address, bytes, ON_HOST);
}

cudaError_t cudaFreeHost(void *address) { return drop(address); }

cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned flags) {
    *device = host;
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *available, size_t *total) {
    *total = gpu_bytes();
    *available = *total - used[current_device] - CONTEXT;
    return usable();
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *of, const void *address) {
    int device = device_of(address);
    *of = (struct cudaPointerAttributes){.type = cudaMemoryTypeUnregistered, .device = NOT_OURS};
    if (device == NOT_OURS) return cudaSuccess;
    of->type = device == ON_HOST ? cudaMemoryTypeHost : cudaMemoryTypeDevice;
    of->device = device == ON_HOST ? 0 : device;
    of->devicePointer = (void *)address;
    of->hostPointer = device == ON_HOST ? (void *)address : NULL;
    return cudaSuccess;
}

// Copies: done at once, though their stream is busy for as long as a copy at 20 GB/s takes.
#include <string.h>

#include "fake.h"

enum { BYTES_A_NS = 20, STAGED = 64 << 10, KEPT = 1 << 20 };

static bool contradicts(enum cudaMemcpyKind kind, int to, int from) {
    switch (kind) {
    case cudaMemcpyHostToDevice: return to < 0 || from >= 0;
    case cudaMemcpyDeviceToHost: return to >= 0 || from < 0;
    case cudaMemcpyDeviceToDevice: return to < 0 || from < 0;
    default: return false;
    }
}

static cudaError_t copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t handle,
                        const char *call) {
    int to_device = device_of(to), from_device = device_of(from);
    bool pageable = to_device == NOT_OURS || from_device == NOT_OURS;
    bool waits = pageable && !(to_device >= 0 && bytes <= STAGED);
    cudaStream_t stream = stream_of(handle);
    if (contradicts(kind, to_device, from_device)) return refuse(cudaErrorInvalidValue, call, "its kind is wrong");
    if (stream->capture && pageable) {
        stream->capture->invalid = true;
        return refuse(cudaErrorStreamCaptureUnsupported, call, "pageable memory in a capture");
    }
    cudaError_t error = add_work(handle, bytes / BYTES_A_NS);
    if (error || stream->capture) return error;
    // what kernels computed is nothing: large results of theirs are not worth their pages
    if (bytes <= KEPT || to_device < 0 || from_device < 0) memcpy(to, from, bytes);
    return waits ? wait_for(handle, call) : cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
    return copy(to, from, bytes, kind, stream, "cudaMemcpyAsync");
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    if (capture_forbids("cudaMemcpy")) return fail(cudaErrorStreamCaptureUnsupported);
    cudaError_t error = copy(to, from, bytes, kind, NULL, "cudaMemcpy");
    return error ? error : wait_for(NULL, "cudaMemcpy");
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device, size_t bytes,
                                cudaStream_t stream) {
    if (device_of(to) != to_device || device_of(from) != from_device)
        return refuse(cudaErrorInvalidValue, "cudaMemcpyPeerAsync", "memory of another device");
    return copy(to, from, bytes, cudaMemcpyDeviceToDevice, stream, "cudaMemcpyPeerAsync");
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                              size_t height, enum cudaMemcpyKind kind, cudaStream_t stream) {
    for (size_t row = 0; row < height; row++) {
        cudaError_t error = copy((char *)to + row * to_pitch, (const char *)from + row * from_pitch, width, kind,
                                 stream, "cudaMemcpy2DAsync");
        if (error) return error;
    }
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *at, int value, size_t bytes, cudaStream_t stream) {
    cudaError_t error = add_work(stream, bytes / 1000);
    if (!error && !stream_of(stream)->capture && bytes <= KEPT) memset(at, value, bytes);
    return error;
}

cudaError_t cudaMemset(void *at, int value, size_t bytes) { return cudaMemsetAsync(at, value, bytes, NULL); }

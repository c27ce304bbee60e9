// Streams and events. A stream is the time at which its work ends; whoever waits for it sleeps until then.
#include <pthread.h>
#include <stdlib.h>

#include "fake.h"

enum { MOST_STREAMS = 4096 };
static struct CUstream_st legacy[MOST_GPUS], per_thread[MOST_GPUS];
static cudaStream_t streams[MOST_STREAMS];
static int stream_count;
static long kernels;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

cudaStream_t stream_of(cudaStream_t handle) {
    bool special = handle == NULL || handle == cudaStreamLegacy || handle == cudaStreamPerThread;
    if (!special) return handle;
    cudaStream_t stream = (handle == cudaStreamPerThread ? per_thread : legacy) + current_device;
    stream->device = current_device;
    return stream;
}

long kernel_ns(void) { return setting("FAKE_GPU_KERNEL_NS", 1000) * slowness(gpu_index(current_device)); }

void stand_still_until(cudaStream_t stream, long ns) {
    if (ns <= stream->free_at_ns) return;
    stream->idle_ns += ns - stream->free_at_ns;
    stream->free_at_ns = ns;
}

cudaError_t add_work(cudaStream_t handle, long ns) {
    cudaStream_t stream = stream_of(handle);
    cudaError_t error = usable();
    if (error) return error;
    if (stream->device != current_device)
        return refuse(cudaErrorInvalidResourceHandle, "work", "its stream is another device's");
    pthread_mutex_lock(&lock);
    if (stream->capture) {
        stream->capture->nodes++;
        stream->capture->ns += ns;
        stream->joined = false;
        if (stream->capture->invalid) error = cudaErrorStreamCaptureInvalidated;
    } else {
        stand_still_until(stream, now_ns());
        stream->free_at_ns += ns;
        stream->busy_ns += ns;
    }
    pthread_mutex_unlock(&lock);
    return fail(error);
}

cudaError_t add_kernel(cudaStream_t handle, long ns) {
    int gpu = gpu_index(current_device);
    struct Capture *capture = stream_of(handle)->capture;
    if (capture && fault_begins("capture", gpu, capture->kernels++)) {
        capture->invalid = true;
        return refuse(cudaErrorStreamCaptureUnsupported, "cudaLaunchKernel", "FAKE_GPU_FAULT");
    }
    if (!capture) count_kernels(1);
    return add_work(handle, ns);
}

void count_kernels(long count) {
    const char *kinds[] = {"lost", "ecc", "throttled"};
    long before = __sync_fetch_and_add(&kernels, count);
    for (long at = before; at < before + count; at++)
        for (int i = 0; i < 3; i++) fault_begins(kinds[i], gpu_index(current_device), at);
}

cudaError_t wait_for(cudaStream_t handle, const char *call) {
    note("wait %s", call);
    sleep_until(stream_of(handle)->free_at_ns);
    return usable();
}

void wait_for_device(int device) {
    long end = legacy[device].free_at_ns;
    for (int i = 0; i < stream_count; i++)
        if (streams[i]->device == device && streams[i]->free_at_ns > end) end = streams[i]->free_at_ns;
    sleep_until(end);
}

cudaError_t cudaDeviceSynchronize(void) {
    if (capture_forbids("cudaDeviceSynchronize")) return fail(cudaErrorStreamCaptureUnsupported);
    note("wait cudaDeviceSynchronize");
    wait_for_device(current_device);
    return usable();
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority) {
    cudaError_t error = usable();
    if (error) return error;
    *stream = calloc(1, sizeof **stream);
    (*stream)->device = current_device;
    pthread_mutex_lock(&lock);
    if (stream_count < MOST_STREAMS) streams[stream_count++] = *stream;
    pthread_mutex_unlock(&lock);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags) {
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) { return cudaStreamCreateWithPriority(stream, 0, 0); }

cudaError_t cudaStreamDestroy(cudaStream_t stream) { return cudaSuccess; }  // torch keeps its streams

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int *priority) {
    *priority = 0;
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    if (stream_of(stream)->capture || capture_forbids("cudaStreamQuery"))
        return fail(cudaErrorStreamCaptureUnsupported);
    cudaError_t error = usable();
    return error ? error : stream_of(stream)->free_at_ns <= now_ns() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (stream_of(stream)->capture || capture_forbids("cudaStreamSynchronize"))
        return refuse(cudaErrorStreamCaptureUnsupported, "cudaStreamSynchronize", "in a capture");
    return wait_for(stream, "cudaStreamSynchronize");
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned flags) {
    cudaStream_t stream = stream_of(handle);
    if (event->capture && !event->capture->over) {
        if (stream >= legacy && stream < legacy + MOST_GPUS) {
            event->capture->invalid = true;
            return refuse(cudaErrorStreamCaptureImplicit, "cudaStreamWaitEvent", "the stream is the legacy one");
        }
        if (stream != event->stream) event->stream->joined = true;
        join_capture(stream, event->capture);
    } else if (stream->capture && event->recorded) {
        stream->capture->invalid = true;
        return refuse(cudaErrorStreamCaptureIsolation, "cudaStreamWaitEvent", "the event is not of the capture");
    } else if (event->recorded) {
        stand_still_until(stream, event->at_ns);
    }
    return usable();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags) {
    *event = calloc(1, sizeof **event);
    (*event)->timing = !(flags & cudaEventDisableTiming);
    return usable();
}

cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    free(event);
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
    cudaStream_t stream = stream_of(handle);
    if (!stream->capture) stand_still_until(stream, now_ns());
    event->at_ns = stream->free_at_ns;
    event->recorded = true;
    event->stream = stream;
    event->capture = stream->capture;
    if (event->timing && !event->capture) note("mark %ld %ld %ld", event->at_ns, stream->busy_ns, stream->idle_ns);
    return usable();
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
    return cudaEventRecord(event, stream);
}

static cudaError_t readable(cudaEvent_t event, const char *call) {
    if (event->capture) {
        event->capture->invalid |= !event->capture->over;
        return refuse(cudaErrorCapturedEvent, call, "the event is of a capture");
    }
    return capture_forbids(call) ? fail(cudaErrorStreamCaptureUnsupported) : usable();
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    cudaError_t error = readable(event, "cudaEventQuery");
    if (error) return error;
    return !event->recorded || event->at_ns <= now_ns() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    cudaError_t error = readable(event, "cudaEventSynchronize");
    if (error) return error;
    note("wait cudaEventSynchronize");
    if (event->recorded) sleep_until(event->at_ns);
    return usable();
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
    if (!start->timing || !end->timing || !start->recorded || !end->recorded)
        return refuse(cudaErrorInvalidResourceHandle, "cudaEventElapsedTime", "no time was recorded");
    if (start->at_ns > now_ns() || end->at_ns > now_ns()) return cudaErrorNotReady;
    *ms = (end->at_ns - start->at_ns) / 1e6f;
    return usable();
}

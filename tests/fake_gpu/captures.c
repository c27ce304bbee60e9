// Captures and their graphs: what may not be done during one is refused, and makes it invalid, as on a GPU.
#include <stdlib.h>

#include "fake.h"

enum { MOST_MEMBERS = 256 };
static _Thread_local enum cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;
static _Thread_local struct Capture *of_this_thread;  // that is not relaxed
static struct Capture *global;                        // of any thread
static cudaStream_t members[MOST_MEMBERS];            // of the captures under way
static int member_count;
static unsigned long long last_id;

struct CUgraph_st {
    long ns;
    int nodes, kernels;
    struct Collective *collectives;
};

bool capture_forbids(const char *call) {
    if (thread_mode == cudaStreamCaptureModeRelaxed) return false;
    struct Capture *capture = of_this_thread;
    if (!capture && thread_mode == cudaStreamCaptureModeGlobal) capture = global;
    if (!capture) return false;
    capture->invalid = true;
    note("refused %s: in a capture", call);
    return true;
}

void join_capture(cudaStream_t stream, struct Capture *capture) {
    if (stream->capture == capture || member_count == MOST_MEMBERS) return;
    stream->capture = capture;
    stream->joined = false;
    members[member_count++] = stream;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
    enum cudaStreamCaptureMode before = thread_mode;
    thread_mode = *mode;
    *mode = before;
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    if (stream == NULL || stream == cudaStreamLegacy || stream->capture)
        return refuse(cudaErrorStreamCaptureUnsupported, "cudaStreamBeginCapture", "on this stream");
    struct Capture *capture = calloc(1, sizeof *capture);  // never freed: events refer to it
    capture->origin = stream;
    capture->mode = mode;
    capture->id = ++last_id;
    join_capture(stream, capture);
    if (mode != cudaStreamCaptureModeRelaxed) of_this_thread = capture;
    if (mode == cudaStreamCaptureModeGlobal) global = capture;
    return usable();
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    struct Capture *capture = stream->capture;
    *graph = NULL;
    if (!capture || capture->origin != stream)
        return refuse(cudaErrorStreamCaptureUnsupported, "cudaStreamEndCapture", "it began on another stream");
    bool unjoined = false;
    int kept = 0;
    for (int i = 0; i < member_count; i++) {
        cudaStream_t member = members[i];
        if (member->capture != capture) {
            members[kept++] = member;
            continue;
        }
        unjoined |= member != stream && !member->joined;
        member->capture = NULL;
    }
    member_count = kept;
    capture->over = true;
    if (of_this_thread == capture) of_this_thread = NULL;
    if (global == capture) global = NULL;
    note("capture %d nodes%s", capture->nodes, capture->invalid ? ", invalid" : unjoined ? ", unjoined" : "");
    if (capture->invalid) return fail(cudaErrorStreamCaptureInvalidated);
    if (unjoined) return fail(cudaErrorStreamCaptureUnjoined);
    *graph = malloc(sizeof **graph);
    **graph = (struct CUgraph_st){capture->ns, capture->nodes, capture->kernels, capture->collectives};
    return usable();
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status) {
    struct Capture *capture = stream_of(handle)->capture;
    *status = !capture           ? cudaStreamCaptureStatusNone
              : capture->invalid ? cudaStreamCaptureStatusInvalidated
                                 : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

static cudaError_t capture_info(cudaStream_t handle, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                cudaGraph_t *graph, const cudaGraphNode_t **nodes, size_t *count) {
    struct Capture *capture = stream_of(handle)->capture;
    if (id) *id = capture ? capture->id : 0;
    if (graph) *graph = (cudaGraph_t)capture;
    if (nodes) *nodes = NULL;
    if (count) *count = 0;
    return cudaStreamIsCapturing(handle, status);
}

#if CUDART_VERSION >= 13000
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t stream, enum cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **nodes, const cudaGraphEdgeData **edges,
                                     size_t *count) {
    if (edges) *edges = NULL;
    return capture_info(stream, status, id, graph, nodes, count);
}
#else
cudaError_t cudaStreamGetCaptureInfo_v2(cudaStream_t stream, enum cudaStreamCaptureStatus *status,
                                        unsigned long long *id, cudaGraph_t *graph, const cudaGraphNode_t **nodes,
                                        size_t *count) {
    return capture_info(stream, status, id, graph, nodes, count);
}
#endif

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *ready, cudaGraph_t graph, unsigned long long flags) {
    *ready = malloc(sizeof *graph);
    *(cudaGraph_t)*ready = *graph;
    count_graph(graph->collectives, 1);
    return usable();
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *ready, cudaGraph_t graph, unsigned long long flags) {
    return cudaGraphInstantiateWithFlags(ready, graph, flags);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    *count = graph->nodes;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t ready, cudaStream_t stream) {
    cudaGraph_t graph = (cudaGraph_t)ready;
    count_kernels(graph->kernels);
    cudaError_t error = usable();
    if (!error) error = replay_collectives(graph->collectives, stream);
    return error ? error : add_work(stream, graph->ns);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    free(graph);
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t ready) {
    count_graph(((cudaGraph_t)ready)->collectives, -1);
    free(ready);
    return cudaSuccess;
}

// NCCL between processes of this machine. A collective begins when the last rank's stream gets there, as on GPUs, but the
// host waits for it too. Small values are exchanged; large ones only take their time, 100 GB/s. Those of a graph are
// exchanged when it is launched.
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fake.h"

#define __CUDA_FP16_H__  // of the headers of nccl.h these need more than a C compiler
#define __CUDA_BF16_H__
#define __CUDA_FP8_H__
#pragma GCC visibility push(default)
#include <nccl.h>
#pragma GCC visibility pop

enum { MOST_RANKS = 16, SMALL = 64 << 10, START_NS = 20000, BYTES_A_NS = 100 };

struct Shared {
    atomic_long entered[MOST_RANKS], left[MOST_RANKS];  // the number of its collectives
    long ready_ns[MOST_RANKS];                          // when a rank's stream gets to the present one
    size_t bytes[MOST_RANKS];                           // that a rank gives to the present one
    char data[MOST_RANKS][SMALL];
};

struct ncclComm {
    int rank, size;
    long collectives;
    struct Shared *shared;
    atomic_bool aborted;
    atomic_int graphs;  // with collectives of it
};

struct Collective {  // that a capture holds
    struct ncclComm *comm;
    const void *from;
    void *to;
    size_t count;
    ncclDataType_t type;
    bool gathers;
    struct Collective *next;
};

static bool all_reach(struct ncclComm *comm, atomic_long counts[MOST_RANKS]) {
    for (int rank = 0; rank < comm->size; rank++)
        while (counts[rank] < comm->collectives) {
            if (comm->aborted) return false;
            usleep(50);
        }
    return true;
}

static size_t size_of(ncclDataType_t type) {
    switch (type) {
    case ncclInt8: case ncclUint8: return 1;
    case ncclFloat16: case ncclBfloat16: return 2;
    case ncclInt64: case ncclUint64: case ncclFloat64: return 8;
    default: return 4;
    }
}

static void sum(struct ncclComm *comm, void *to, size_t count, ncclDataType_t type) {
    for (size_t i = 0; i < count; i++) {
        double total = 0;
        for (int rank = 0; rank < comm->size; rank++) {
            void *from = comm->shared->data[rank];
            total += type == ncclFloat64 ? ((double *)from)[i] : type == ncclFloat32 ? ((float *)from)[i] : 0;
        }
        if (type == ncclFloat64) ((double *)to)[i] = total;
        if (type == ncclFloat32) ((float *)to)[i] = total;
    }
}

// Waits until every rank is at its next collective, and exchanges the values.
static bool exchange(const struct Collective *one, cudaStream_t stream) {
    struct ncclComm *comm = one->comm;
    struct Shared *shared = comm->shared;
    size_t bytes = one->count * size_of(one->type);
    long now = now_ns(), begin = 0;
    comm->collectives++;
    shared->ready_ns[comm->rank] = stream->free_at_ns > now ? stream->free_at_ns : now;
    shared->bytes[comm->rank] = bytes;
    if (bytes <= SMALL) memcpy(shared->data[comm->rank], one->from, bytes);
    shared->entered[comm->rank] = comm->collectives;
    if (!all_reach(comm, shared->entered)) return false;
    for (int rank = 0; rank < comm->size; rank++) {
        if (shared->ready_ns[rank] > begin) begin = shared->ready_ns[rank];
        if (shared->bytes[rank] != bytes) note("refused NCCL: %zu bytes here, %zu on rank %d", bytes, shared->bytes[rank], rank);
        if (one->gathers && bytes <= SMALL) memcpy((char *)one->to + rank * bytes, shared->data[rank], bytes);
    }
    if (!one->gathers && bytes <= SMALL) sum(comm, one->to, one->count, one->type);
    shared->left[comm->rank] = comm->collectives;
    if (!all_reach(comm, shared->left)) return false;
    stand_still_until(stream, begin);
    return true;
}

// One collective of all ranks, now or at each replay. gathers: `to` gets every rank's bytes; otherwise their sum.
static ncclResult_t together(struct ncclComm *comm, const void *from, void *to, size_t count, ncclDataType_t type,
                             cudaStream_t handle, bool gathers) {
    struct Collective one = {comm, from, to, count, type, gathers, NULL};
    struct Capture *capture = stream_of(handle)->capture;
    if (device_of(from) != current_device || device_of(to) != current_device) {
        note("refused NCCL: memory of another device");
        return ncclInvalidArgument;
    }
    if (capture) {
        struct Collective **end = &capture->collectives;
        while (*end) end = &(*end)->next;
        *end = malloc(sizeof one);  // never freed
        **end = one;
        note("captured %s of %zu on rank %d", gathers ? "gather" : "sum", count, comm->rank);
    } else if (!exchange(&one, stream_of(handle))) {
        return ncclSystemError;
    }
    long ns = START_NS + count * size_of(type) / BYTES_A_NS;
    return add_work(handle, ns) ? ncclUnhandledCudaError : ncclSuccess;
}

cudaError_t replay_collectives(const struct Collective *first, cudaStream_t stream) {
    for (const struct Collective *one = first; one; one = one->next)
        if (!exchange(one, stream_of(stream))) return fail(cudaErrorUnknown);
    return cudaSuccess;
}

void count_graph(const struct Collective *first, int change) {
    if (first) first->comm->graphs += change;
}

// NCCL waits for the end of all graphs with collectives of a communicator: for ever, if this process holds one.
static void require_no_graph(ncclComm_t comm, const char *call) {
    if (comm->graphs) note("refused %s: %d graphs are left", call, comm->graphs);
}

ncclResult_t ncclAllReduce(const void *from, void *to, size_t count, ncclDataType_t type, ncclRedOp_t operation,
                           ncclComm_t comm, cudaStream_t stream) {
    return together(comm, from, to, count, type, stream, false);
}

ncclResult_t ncclAllGather(const void *from, void *to, size_t count, ncclDataType_t type, ncclComm_t comm,
                           cudaStream_t stream) {
    return together(comm, from, to, count, type, stream, true);
}

ncclResult_t ncclBroadcast(const void *from, void *to, size_t count, ncclDataType_t type, int root, ncclComm_t comm,
                           cudaStream_t stream) {
    return add_work(stream, START_NS + count * size_of(type) / BYTES_A_NS) ? ncclUnhandledCudaError : ncclSuccess;
}

ncclResult_t ncclBcast(void *at, size_t count, ncclDataType_t type, int root, ncclComm_t comm, cudaStream_t stream) {
    return ncclBroadcast(at, at, count, type, root, comm, stream);
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id) {
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "/dev/shm/fake-nccl-%d-%ld", getpid(), now_ns());
    int file = open(id->internal, O_CREAT | O_EXCL | O_RDWR, 0600);
    if (file < 0 || ftruncate(file, sizeof(struct Shared))) return ncclSystemError;
    close(file);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank) {
    int file = open(id.internal, O_RDWR);
    if (file < 0 || size > MOST_RANKS) return ncclSystemError;
    *comm = calloc(1, sizeof **comm);
    (*comm)->rank = rank;
    (*comm)->size = size;
    (*comm)->collectives = 1;
    (*comm)->shared = mmap(NULL, sizeof(struct Shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    (*comm)->shared->entered[rank] = 1;
    if (!all_reach(*comm, (*comm)->shared->entered)) return ncclSystemError;
    (*comm)->shared->left[rank] = 1;
    if (rank == 0) {
        all_reach(*comm, (*comm)->shared->left);
        unlink(id.internal);
    }
    note("nccl rank %d of %d on GPU %d", rank, size, gpu_index(current_device));
    return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int size, ncclUniqueId id, int rank, ncclConfig_t *config) {
    return ncclCommInitRank(comm, size, id, rank);
}

ncclResult_t ncclCommInitRankScalable(ncclComm_t *comm, int size, int rank, int ids, ncclUniqueId *id,
                                      ncclConfig_t *config) {
    return ncclCommInitRank(comm, size, *id, rank);
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
    require_no_graph(comm, "ncclCommAbort");
    comm->aborted = true;
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) { return ncclSuccess; }

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
    require_no_graph(comm, "ncclCommDestroy");
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *error) {
    *error = ncclSuccess;
    return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int *count) {
    *count = comm->size;
    return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank) {
    *rank = comm->rank;
    return ncclSuccess;
}

ncclResult_t ncclCommRegister(const ncclComm_t comm, void *at, size_t bytes, void **handle) {
    *handle = at;
    return ncclSuccess;
}

ncclResult_t ncclCommDeregister(const ncclComm_t comm, void *handle) { return ncclSuccess; }

ncclResult_t ncclGroupStart(void) { return ncclSuccess; }

ncclResult_t ncclGroupEnd(void) { return ncclSuccess; }

ncclResult_t ncclGetVersion(int *version) {
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t error) {
    return error == ncclUnhandledCudaError ? "unhandled cuda error" : "unhandled system error";
}

const char *ncclGetLastError(ncclComm_t comm) { return ""; }

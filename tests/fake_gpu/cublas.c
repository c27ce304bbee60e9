// cuBLAS, whose products take as long as four kernels. Its headers need more than a C compiler.
#include <stdlib.h>

#include "fake.h"

#pragma GCC visibility push(default)

enum { SUCCESS = 0, EXECUTION_FAILED = 13 };

typedef struct Handle {
    cudaStream_t stream;
    int math, pointers;
} *Handle;

int cublasCreate_v2(Handle *handle) {
    *handle = calloc(1, sizeof **handle);
    return SUCCESS;
}

int cublasDestroy_v2(Handle handle) { return SUCCESS; }

int cublasSetStream_v2(Handle handle, cudaStream_t stream) {
    handle->stream = stream;
    return SUCCESS;
}

int cublasSetMathMode(Handle handle, int mode) {
    handle->math = mode;
    return SUCCESS;
}

int cublasGetMathMode(Handle handle, int *mode) {
    *mode = handle->math;
    return SUCCESS;
}

int cublasSetPointerMode_v2(Handle handle, int mode) {
    handle->pointers = mode;
    return SUCCESS;
}

int cublasGetPointerMode_v2(Handle handle, int *mode) {
    *mode = handle->pointers;
    return SUCCESS;
}

int cublasSetWorkspace_v2(Handle handle, void *at, size_t bytes) { return SUCCESS; }

// Of a product only its first argument matters here.
#define PRODUCT(name) \
    int name(Handle handle) { return add_kernel(handle->stream, 4 * kernel_ns()) ? EXECUTION_FAILED : SUCCESS; }
PRODUCT(cublasSgemm_v2)
PRODUCT(cublasDgemm_v2)
PRODUCT(cublasGemmEx)
PRODUCT(cublasSgemmEx)
PRODUCT(cublasGemmStridedBatchedEx)
PRODUCT(cublasSgemmStridedBatched)
PRODUCT(cublasSgemv_v2)

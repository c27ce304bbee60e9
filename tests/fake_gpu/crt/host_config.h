// The CUDA headers include this file of nvcc's. A C compiler needs nothing of it.

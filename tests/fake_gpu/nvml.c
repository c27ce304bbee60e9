// NVML, libnvidia-ml.so.1: healthy cards that draw 350 W, and the faults that it can tell.
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "faults.h"

#pragma GCC visibility push(default)

typedef struct Card *Device;  // 1 + index
typedef unsigned long long u64;
enum { SUCCESS = 0, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, GPU_IS_LOST = 15 };
enum { IDLE = 1, TOO_HOT = 0x40, MEMORY_CLOCK = 2, SM_MHZ = 1410, MEMORY_MHZ = 1593, MILLIWATT = 350000, LINKS = 12 };

static long setting(const char *name, long otherwise) {
    const char *value = getenv(name);
    return value && *value ? atol(value) : otherwise;
}

static int index_of(Device device) { return (int)(long)device - 1; }

static int readable(Device device) { return fault_is_on("lost", index_of(device)) ? GPU_IS_LOST : SUCCESS; }

static void write_uuid(int index, char text[41]) {
    unsigned byte = 0x10 + index;  // that of cudaGetDeviceProperties
    int at = sprintf(text, "GPU-");
    for (int i = 0; i < 16; i++) at += sprintf(text + at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", byte);
}

int nvmlInit(void) { return SUCCESS; }
int nvmlInit_v2(void) { return SUCCESS; }
int nvmlInitWithFlags(unsigned flags) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }

const char *nvmlErrorString(int error) {
    return error == GPU_IS_LOST ? "GPU is lost" : error == NOT_SUPPORTED ? "Not Supported" : "Not Found";
}

int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    long cuda = setting("FAKE_GPU_DRIVER_CUDA", 13000);
    snprintf(text, length, "%s", cuda >= 13000 ? "580.65.06" : "550.54.14");
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion(int *version) {
    *version = setting("FAKE_GPU_DRIVER_CUDA", 13000);
    return SUCCESS;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version) { return nvmlSystemGetCudaDriverVersion(version); }

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = setting("FAKE_GPU_COUNT", 1);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device *device) {
    *device = (Device)(long)(index + 1);
    return index < (unsigned)setting("FAKE_GPU_COUNT", 1) ? readable(*device) : INVALID_ARGUMENT;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, Device *device) {
    char text[41];
    for (int index = 0; index < setting("FAKE_GPU_COUNT", 1); index++) {
        write_uuid(index, text);
        if (!strcmp(text, uuid)) return nvmlDeviceGetHandleByIndex_v2(index, device);
    }
    return NOT_FOUND;
}

int nvmlDeviceGetHandleByPciBusId_v2(const char *text, Device *device) {
    const char *bus = strchr(text, ':');
    return bus ? nvmlDeviceGetHandleByIndex_v2(strtol(bus + 1, NULL, 16) - 0x10, device) : INVALID_ARGUMENT;
}

int nvmlDeviceGetIndex(Device device, unsigned *index) {
    *index = index_of(device);
    return readable(device);
}

int nvmlDeviceGetName(Device device, char *text, unsigned length) {
    const char *name = getenv("FAKE_GPU_NAME");
    snprintf(text, length, "%s", name && *name ? name : FAKE_NAME);
    return readable(device);
}

int nvmlDeviceGetUUID(Device device, char *text, unsigned length) {
    char uuid[41];
    write_uuid(index_of(device), uuid);
    snprintf(text, length, "%s", uuid);
    return readable(device);
}

int nvmlDeviceGetCudaComputeCapability(Device device, int *major, int *minor) {
    *major = setting("FAKE_GPU_CAPABILITY", 80) / 10;
    *minor = setting("FAKE_GPU_CAPABILITY", 80) % 10;
    return readable(device);
}

int nvmlDeviceGetPciInfo_v3(Device device, void *info) {
    struct {
        char old_bus_id[16];
        unsigned domain, bus, device, id, subsystem;
        char bus_id[32];
    } *of = info;
    memset(of, 0, sizeof *of);
    of->bus = 0x10 + index_of(device);
    snprintf(of->old_bus_id, sizeof of->old_bus_id, "0000:%02X:00.0", of->bus);
    snprintf(of->bus_id, sizeof of->bus_id, "00000000:%02X:00.0", of->bus);
    return readable(device);
}

int nvmlDeviceGetMemoryInfo(Device device, u64 *info) {  // total, free, used
    info[0] = (u64)setting("FAKE_GPU_GIB", 80) << 30;
    info[2] = 500u << 20;
    info[1] = info[0] - info[2];
    return readable(device);
}

int nvmlDeviceGetPowerUsage(Device device, unsigned *milliwatt) {
    *milliwatt = MILLIWATT;
    return readable(device);
}

int nvmlDeviceGetTotalEnergyConsumption(Device device, u64 *millijoule) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    *millijoule = (time.tv_sec + time.tv_nsec / 1e9) * MILLIWATT;
    return readable(device);
}

static int clock_mhz(Device device, int kind, unsigned *mhz) {
    *mhz = kind == MEMORY_CLOCK ? MEMORY_MHZ : SM_MHZ;
    return readable(device);
}
int nvmlDeviceGetClockInfo(Device device, int kind, unsigned *mhz) { return clock_mhz(device, kind, mhz); }
int nvmlDeviceGetMaxClockInfo(Device device, int kind, unsigned *mhz) { return clock_mhz(device, kind, mhz); }
int nvmlDeviceGetApplicationsClock(Device device, int kind, unsigned *mhz) { return clock_mhz(device, kind, mhz); }
int nvmlDeviceGetDefaultApplicationsClock(Device device, int kind, unsigned *mhz) {
    return clock_mhz(device, kind, mhz);
}

int nvmlDeviceGetCurrentClocksEventReasons(Device device, u64 *reasons) {
    *reasons = fault_is_on("throttled", index_of(device)) ? TOO_HOT : IDLE;
    return readable(device);
}

int nvmlDeviceGetTemperature(Device device, int sensor, unsigned *celsius) {
    *celsius = fault_is_on("throttled", index_of(device)) ? 92 : 55;
    return readable(device);
}

int nvmlDeviceGetUtilizationRates(Device device, unsigned *percent) {  // kernels, memory
    percent[0] = 99;
    percent[1] = 50;
    return readable(device);
}

int nvmlDeviceGetPersistenceMode(Device device, int *on) {
    *on = 1;
    return readable(device);
}

int nvmlDeviceGetEnforcedPowerLimit(Device device, unsigned *milliwatt) {
    *milliwatt = 400000;
    return readable(device);
}

int nvmlDeviceGetPowerManagementDefaultLimit(Device device, unsigned *milliwatt) {
    return nvmlDeviceGetEnforcedPowerLimit(device, milliwatt);
}

int nvmlDeviceGetComputeRunningProcesses_v3(Device device, unsigned *count, void *processes) {
    *count = 0;
    return readable(device);
}

int nvmlDeviceGetComputeRunningProcesses(Device device, unsigned *count, void *processes) {
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, processes);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(Device device, unsigned *count, void *processes) {
    *count = 0;
    return readable(device);
}

int nvmlDeviceGetEccMode(Device device, int *now, int *pending) {
    *now = *pending = 1;
    return readable(device);
}

int nvmlDeviceGetTotalEccErrors(Device device, int kind, int counter, u64 *count) {
    *count = kind == 1 && fault_is_on("ecc", index_of(device));  // 1: uncorrected
    return readable(device);
}

int nvmlDeviceGetRemappedRows(Device device, unsigned *fixed, unsigned *lost, unsigned *pending, unsigned *failed) {
    *fixed = *lost = *pending = *failed = 0;
    return readable(device);
}

int nvmlDeviceGetMigMode(Device device, unsigned *now, unsigned *pending) {
    *now = *pending = 0;
    return readable(device);
}

static int link_width(Device device, unsigned *lanes) {
    *lanes = 16;
    return readable(device);
}
static int link_generation(Device device, unsigned *generation) {
    *generation = 4;
    return readable(device);
}
int nvmlDeviceGetCurrPcieLinkWidth(Device device, unsigned *lanes) { return link_width(device, lanes); }
int nvmlDeviceGetMaxPcieLinkWidth(Device device, unsigned *lanes) { return link_width(device, lanes); }
int nvmlDeviceGetCurrPcieLinkGeneration(Device device, unsigned *value) { return link_generation(device, value); }
int nvmlDeviceGetMaxPcieLinkGeneration(Device device, unsigned *value) { return link_generation(device, value); }
int nvmlDeviceGetGpuMaxPcieLinkGeneration(Device device, unsigned *value) { return link_generation(device, value); }

int nvmlDeviceGetNvLinkState(Device device, unsigned link, unsigned *up) {
    *up = 1;
    return link < LINKS ? readable(device) : INVALID_ARGUMENT;
}

// torch looks these up too.
int nvmlDeviceGetNvLinkRemoteDeviceType(void) { return NOT_SUPPORTED; }
int nvmlDeviceGetNvLinkRemotePciInfo_v2(void) { return NOT_SUPPORTED; }
int nvmlDeviceGetGpuFabricInfoV(void) { return NOT_SUPPORTED; }

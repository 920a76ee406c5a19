/* libcudart: memory, copies, streams, recordings and launches. Signatures after cuda_runtime_api.h of CUDA 13. */
#include "card.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_OF_MEMORY 2
#define NOT_WHILE_RECORDING 900

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- counts ---- */

#define NAME_BYTES 64
#define MOST_NAMES 256
/* [1]: while a stream is recorded. */
typedef long Count[2];
static struct {
  char name[NAME_BYTES];
  Count count;
} counts[MOST_NAMES];
static int names;
static int is_recording;

/* Threads that have launched or replayed something. */
#define MOST_THREADS 64
static pthread_t threads[MOST_THREADS];
static int thread_count;

/* With the lock held. */
static void note(Count count) {
  count[is_recording]++;
  int t = 0;
  while (t < thread_count && !pthread_equal(threads[t], pthread_self())) t++;
  if (t == thread_count && t < MOST_THREADS) threads[thread_count++] = pthread_self();
}

void card_count(const char *name) {
  pthread_mutex_lock(&lock);
  int i = 0;
  while (i < names && strcmp(counts[i].name, name)) i++;
  if (i == MOST_NAMES) abort();
  if (i == names) snprintf(counts[names++].name, NAME_BYTES, "%s", name);
  note(counts[i].count);
  pthread_mutex_unlock(&lock);
}

void card_unexpected(const char *name) {
  fprintf(stderr, "stand-in for a card: %s was called, which it does not know\n", name);
  abort();
}

/* ---- memory: the host's, counted ---- */

typedef struct {
  char *at;
  size_t size;
} Block;
static Block *blocks;
static int block_count, block_room;
static size_t held, most_held;
static size_t memory_size = (size_t)80 << 30;

static int take(void **out, size_t size) {
  *out = NULL;
  pthread_mutex_lock(&lock);
  int fits = held + size <= memory_size;
  pthread_mutex_unlock(&lock);
  /* Not touched, so that large memory is not taken from the machine. */
  void *at = fits ? calloc(1, size ? size : 1) : NULL;
  if (!at) return OUT_OF_MEMORY;
  pthread_mutex_lock(&lock);
  if (block_count == block_room) {
    block_room = block_room ? 2 * block_room : 64;
    blocks = realloc(blocks, block_room * sizeof *blocks);
  }
  blocks[block_count++] = (Block){at, size};
  held += size;
  if (held > most_held) most_held = held;
  pthread_mutex_unlock(&lock);
  *out = at;
  return SUCCESS;
}

static void give(void *at) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < block_count; i++) {
    if (blocks[i].at != at) continue;
    held -= blocks[i].size;
    blocks[i] = blocks[--block_count];
    break;
  }
  pthread_mutex_unlock(&lock);
  free(at);
}

static int is_on_card(const void *p) {
  int found = 0;
  pthread_mutex_lock(&lock);
  for (int i = 0; i < block_count && !found; i++)
    found = (const char *)p >= blocks[i].at && (const char *)p < blocks[i].at + blocks[i].size;
  pthread_mutex_unlock(&lock);
  return found;
}

/* Calls that a card refuses while it records. */
static int refused(const char *name) {
  card_count(name);
  return is_recording ? NOT_WHILE_RECORDING : SUCCESS;
}

int cudaMalloc(void **out, size_t size) {
  int failure = refused("cudaMalloc");
  return failure ? failure : take(out, size);
}
int cudaFree(void *at) {
  if (!at) return SUCCESS;
  int failure = refused("cudaFree");
  if (!failure) give(at);
  return failure;
}
int cudaHostAlloc(void **out, size_t size, unsigned flags) {
  (void)flags;
  *out = calloc(1, size ? size : 1);
  return SUCCESS;
}
int cudaMallocHost(void **out, size_t size) { return cudaHostAlloc(out, size, 0); }
int cudaFreeHost(void *at) {
  free(at);
  return SUCCESS;
}
int cudaMemGetInfo(size_t *left, size_t *total) {
  *total = memory_size;
  *left = memory_size - held;
  return SUCCESS;
}
static const char *const KINDS[] = {"host to host", "up", "down", "on the card", "any"};
static void copy(const char *how, void *to, const void *from, size_t size, int kind) {
  char name[64];
  snprintf(name, sizeof name, "%s %s", how, KINDS[kind]);
  card_count(name);
  memmove(to, from, size);
}
/* The host waits for it. */
int cudaMemcpy(void *to, const void *from, size_t size, int kind) {
  copy("copy and wait", to, from, size, kind);
  return is_recording ? NOT_WHILE_RECORDING : SUCCESS;
}
int cudaMemcpyAsync(void *to, const void *from, size_t size, int kind, void *stream) {
  (void)stream;
  copy("copy", to, from, size, kind);
  return SUCCESS;
}
int cudaMemset(void *at, int value, size_t size) {
  card_count("set");
  memset(at, value, size);
  return SUCCESS;
}
int cudaMemsetAsync(void *at, int value, size_t size, void *stream) {
  (void)stream;
  return cudaMemset(at, value, size);
}
/* struct cudaPointerAttributes: type, device, devicePointer, hostPointer, room for more. */
int cudaPointerGetAttributes(void *out, const void *p) {
  memset(out, 0, 88);
  *(int *)out = is_on_card(p) ? 2 : 0;
  *(const void **)((char *)out + 8) = p;
  return SUCCESS;
}

/* ---- the card ---- */

/* A card of compute capability 9.0 with 132 multiprocessors. */
#define MAJOR 9
#define MULTIPROCESSORS 132
#define WARP 32
#define MOST_THREADS_OF_BLOCK 1024
#define MOST_THREADS_OF_MULTIPROCESSOR 2048
#define SHARED_BYTES 49152
#define MOST_SHARED_BYTES 232448
#define CACHE_BYTES (50 << 20)

/* struct cudaDeviceProp, by the places of its fields. */
int cudaGetDeviceProperties(void *out, int device) {
  (void)device;
  char *p = out;
  memset(p, 0, 1008);
  strcpy(p, "stand-in that computes nothing");
  *(size_t *)(p + 288) = memory_size;
  *(size_t *)(p + 296) = SHARED_BYTES;
  *(int *)(p + 304) = 65536; /* registers of a block */
  *(int *)(p + 308) = WARP;
  *(int *)(p + 320) = MOST_THREADS_OF_BLOCK;
  memcpy(p + 324, (int[]){1024, 1024, 64}, 12);        /* sizes of a block */
  memcpy(p + 336, (int[]){2147483647, 65535, 65535}, 12); /* sizes of a grid */
  *(int *)(p + 360) = MAJOR;
  *(int *)(p + 384) = MULTIPROCESSORS;
  *(int *)(p + 560) = 1; /* concurrent kernels */
  *(int *)(p + 588) = 1; /* one address space */
  *(int *)(p + 596) = CACHE_BYTES;
  *(int *)(p + 604) = MOST_THREADS_OF_MULTIPROCESSOR;
  *(size_t *)(p + 624) = 233472; /* shared memory of a multiprocessor */
  *(int *)(p + 632) = 65536;     /* registers of a multiprocessor */
  *(int *)(p + 668) = 1;         /* cooperative launches */
  *(size_t *)(p + 672) = MOST_SHARED_BYTES;
  *(int *)(p + 688) = 32; /* blocks of a multiprocessor */
  *(int *)(p + 720) = 1;  /* memory pools */
  return SUCCESS;
}
/* By the numbers of cudaDeviceAttr. */
int cudaDeviceGetAttribute(int *out, int attribute, int device) {
  (void)device;
  switch (attribute) {
    case 1: *out = MOST_THREADS_OF_BLOCK; break;
    case 8: *out = SHARED_BYTES; break;
    case 10: *out = WARP; break;
    case 16: *out = MULTIPROCESSORS; break;
    case 38: *out = CACHE_BYTES; break;
    case 39: *out = MOST_THREADS_OF_MULTIPROCESSOR; break;
    case 75: *out = MAJOR; break;
    case 95: *out = 1; break;
    case 97: *out = MOST_SHARED_BYTES; break;
    case 106: *out = 32; break;
    default: *out = 0;
  }
  return SUCCESS;
}
int cudaGetDeviceCount(int *out) { return *out = 1, SUCCESS; }
int cudaGetDevice(int *out) { return *out = 0, SUCCESS; }
int cudaDriverGetVersion(int *out) { return *out = 13000, SUCCESS; }
int cudaRuntimeGetVersion(int *out) { return *out = 13000, SUCCESS; }
SILENT(cudaSetDevice)
SILENT(cudaGetLastError)
SILENT(cudaPeekAtLastError)
int cudaDeviceSynchronize(void) { return refused("wait for the card"); }
const char *cudaGetErrorName(int error) {
  return error == OUT_OF_MEMORY ? "cudaErrorMemoryAllocation" : "cudaErrorStreamCaptureUnsupported";
}
const char *cudaGetErrorString(int error) {
  return error == OUT_OF_MEMORY ? "out of memory" : "operation not permitted when stream is capturing";
}

/* ---- streams, events, recordings ---- */

int cudaStreamCreate(void **out) { return *out = HANDLE, SUCCESS; }
int cudaStreamCreateWithFlags(void **out, unsigned flags) {
  (void)flags;
  return cudaStreamCreate(out);
}
int cudaStreamSynchronize(void *stream) {
  (void)stream;
  return refused("wait");
}
int cudaStreamIsCapturing(void *stream, int *out) {
  (void)stream;
  return *out = is_recording, SUCCESS;
}
int cudaStreamBeginCapture(void *stream, int mode) {
  (void)stream, (void)mode;
  card_count("record");
  is_recording = 1;
  return SUCCESS;
}
int cudaStreamEndCapture(void *stream, void **graph) {
  (void)stream;
  is_recording = 0;
  return *graph = HANDLE, SUCCESS;
}
int cudaGraphInstantiate(void **out, void *graph, unsigned long long flags) {
  (void)flags;
  return *out = graph, SUCCESS;
}
COUNTED(cudaGraphLaunch)
SILENT(cudaGraphDestroy)
SILENT(cudaGraphExecDestroy)
SILENT(cudaStreamDestroy)
SILENT(cudaStreamWaitEvent)
int cudaEventCreate(void **out) { return *out = HANDLE, SUCCESS; }
int cudaEventCreateWithFlags(void **out, unsigned flags) {
  (void)flags;
  return cudaEventCreate(out);
}
SILENT(cudaEventDestroy)
SILENT(cudaEventRecord)
SILENT(cudaEventSynchronize)
int cudaEventElapsedTime(float *out, void *from, void *to) {
  (void)from, (void)to;
  return *out = 0.01f, SUCCESS;
}
/* Frees memory of the host whose copy up is over. */
int cudaLaunchHostFunc(void *stream, void (*function)(void *), void *data) {
  (void)stream;
  card_count("cudaLaunchHostFunc");
  if (!is_recording) function(data);
  return SUCCESS;
}

/* ---- kernels ---- */

typedef struct {
  unsigned x, y, z;
} Size;
typedef struct {
  const void *function;
  const char *name;
  Count count;
} Kernel;
static Kernel *kernels;
static int kernel_count, kernel_room, kernels_sorted;
static __thread struct {
  Size grid, block;
  size_t shared;
  void *stream;
} call;

void **__cudaRegisterFatBinary(void *binary) {
  (void)binary;
  return calloc(1, sizeof(void *));
}
SILENT(__cudaRegisterFatBinaryEnd)
SILENT(__cudaUnregisterFatBinary)
SILENT(__cudaRegisterVar)
void __cudaRegisterFunction(void **binary, const char *function, char *device_function, const char *name) {
  (void)binary, (void)device_function;
  if (kernel_count == kernel_room) {
    kernel_room = kernel_room ? 2 * kernel_room : 4096;
    kernels = realloc(kernels, kernel_room * sizeof *kernels);
  }
  kernels[kernel_count++] = (Kernel){function, name, {0, 0}};
}
static int by_function(const void *a, const void *b) {
  const char *x = ((const Kernel *)a)->function, *y = ((const Kernel *)b)->function;
  return (x > y) - (x < y);
}
static int launched(const void *function) {
  pthread_mutex_lock(&lock);
  if (kernels_sorted != kernel_count) {
    qsort(kernels, kernel_count, sizeof *kernels, by_function);
    kernels_sorted = kernel_count;
  }
  Kernel key = {function, NULL, {0, 0}};
  Kernel *found = bsearch(&key, kernels, kernel_count, sizeof *kernels, by_function);
  if (!found) card_unexpected("a kernel that was not registered");
  note(found->count);
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}
int __cudaPushCallConfiguration(Size grid, Size block, size_t shared, void *stream) {
  call.grid = grid, call.block = block, call.shared = shared, call.stream = stream;
  return SUCCESS;
}
int __cudaPopCallConfiguration(Size *grid, Size *block, size_t *shared, void **stream) {
  *grid = call.grid, *block = call.block, *shared = call.shared, *stream = call.stream;
  return SUCCESS;
}
int __cudaGetKernel(const void **out, const void *function) { return *out = function, SUCCESS; }
int __cudaLaunchKernel(const void *function) { return launched(function); }
int cudaLaunchKernel(const void *function) { return launched(function); }
int cudaLaunchCooperativeKernel(const void *function) { return launched(function); }
int cudaLaunchKernelExC(const void *config, const void *function) {
  (void)config;
  return launched(function);
}
/* struct cudaFuncAttributes: three sizes, then the most threads of a block. */
int cudaFuncGetAttributes(void *out, const void *function) {
  (void)function;
  memset(out, 0, 144);
  *(int *)((char *)out + 24) = MOST_THREADS_OF_BLOCK;
  return SUCCESS;
}
int cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *out) { return *out = 2, SUCCESS; }
SILENT(cudaFuncSetAttribute)
SILENT(cudaKernelSetAttributeForDevice)
/* No function of the driver is found. */
int cudaGetDriverEntryPointByVersion(const char *name, void **out) {
  (void)name;
  return *out = NULL, SUCCESS;
}

UNEXPECTED(cudaFreeAsync)
UNEXPECTED(cudaMallocFromPoolAsync)
UNEXPECTED(cudaMemPoolCreate)
UNEXPECTED(cudaMemPoolDestroy)
UNEXPECTED(cudaMemPoolGetAttribute)
UNEXPECTED(cudaMemPoolSetAttribute)
UNEXPECTED(cudaMemPoolTrimTo)
UNEXPECTED(cudaMemcpy2DAsync)
UNEXPECTED(cudaMemcpyFromSymbol)
UNEXPECTED(cudaLibraryGetKernel)
UNEXPECTED(cudaLibraryLoadData)
SILENT(cudaLibraryUnload)

/* ---- what the tests call ---- */

/* Forgets all counts and threads, and the largest memory. */
void card_reset(void) {
  pthread_mutex_lock(&lock);
  names = thread_count = 0;
  memset(counts, 0, sizeof counts);
  for (int i = 0; i < kernel_count; i++) memset(kernels[i].count, 0, sizeof kernels[i].count);
  most_held = held;
  pthread_mutex_unlock(&lock);
}
static long report(char *out, long size, const char *kind, const char *name, const Count count) {
  long length = 0;
  for (int r = 0; r < 2; r++)
    if (count[r] && size - length > 0)
      length += snprintf(out + length, size - length, "%ld %s%s%s\n", count[r], r ? "recorded: " : "", kind, name);
  return length;
}
/* Lines `COUNT NAME`, as many as `size` bytes hold; returns their length. */
long card_report(char *out, long size) {
  pthread_mutex_lock(&lock);
  long length = snprintf(out, size, "%zu bytes held\n%zu most bytes held\n%d threads\n", held, most_held, thread_count);
  for (int i = 0; i < names; i++) length += report(out + length, size - length, "", counts[i].name, counts[i].count);
  for (int i = 0; i < kernel_count; i++)
    length += report(out + length, size - length, "kernel ", kernels[i].name, kernels[i].count);
  pthread_mutex_unlock(&lock);
  return length;
}
/* How much memory the card has. */
void card_memory(double bytes) { memory_size = (size_t)bytes; }

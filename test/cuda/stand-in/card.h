/*
 * A card that computes nothing. Libraries with the names of NVIDIA's let ONNX Runtime's CUDA provider run on any machine:
 * memory is the host's, copies are made, and what would be computed is counted by name. So a test sees what the provider
 * asks a card for - kernels, copies, waits, memory, recordings - but no result.
 */
#ifndef CARD_H
#define CARD_H

#include <stddef.h>
#include <stdint.h>

/* Status of all libraries. */
#define SUCCESS 0

/* What handles point to: nobody reads it. */
#define HANDLE ((void *)0x1000)

/* Counts one more of what is named; apart, while a stream is recorded. */
void card_count(const char *name);

/* A function that is counted and does nothing else. */
#define COUNTED(name) \
  int name(void) { card_count(#name); return SUCCESS; }
/* One that is not worth counting. */
#define SILENT(name) \
  int name(void) { return SUCCESS; }
/* One that our programs never call: the test ends, and says why. */
#define UNEXPECTED(name) \
  int name(void) { card_unexpected(#name); return 1; }
void card_unexpected(const char *name);

#endif

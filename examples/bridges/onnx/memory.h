/*
 * Memory for what is worked out about a network. Much of it may be "not known", which only leaves
 * more channels in place; but for want of memory nothing may become unknown, or the result would
 * be another one than in the next run. So whoever allocates may say "not known" or fail, and
 * whoever is about to show or write a result asks memory_was_short.
 */
#ifndef ONNX_MEMORY_H
#define ONNX_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* malloc, calloc and realloc, whose failures are noted. */
void *try_malloc(size_t size);
void *try_calloc(size_t count, size_t size);
void *try_realloc(void *old, size_t size);

/* Whether one of them has failed in this thread since the thread began, or since memory_watch. */
bool memory_was_short(void);
/* Notes that memory was short elsewhere, in mskp. */
void memory_note(void);
/* For the beginning of what can fail by itself: forgets earlier failures of this thread. */
void memory_watch(void);

#endif

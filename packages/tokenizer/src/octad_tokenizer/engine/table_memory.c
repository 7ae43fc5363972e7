#if defined(__linux__)
#define _DEFAULT_SOURCE
#include <sys/mman.h>
#endif

#include "table_memory.h"

#include <stdlib.h>
#include <string.h>

void *octad_table_new(size_t size, void **block) {
    const size_t huge = (size_t)1 << 21, rounded = (size + huge - 1) & ~(huge - 1);
    if (size < huge / 2) return *block = calloc(1, size + 1);
    *block = malloc(rounded + huge);
    if (!*block) return NULL;
    void *table = (void *)(((uintptr_t)*block + huge - 1) & ~(uintptr_t)(huge - 1));
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    (void)madvise(table, rounded, MADV_HUGEPAGE);
#endif
    return memset(table, 0, size);
}

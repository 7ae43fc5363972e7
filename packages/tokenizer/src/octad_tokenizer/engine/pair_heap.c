/* A binary heap; see pair_heap.h. */
#include "pair_heap.h"

#include <stdlib.h>
#include <string.h>

/* < 0, 0 or > 0 as the byte string of token a is less than, equal to or greater than that of b. */
static int compared(const struct octad_tokens *tokens, uint32_t a, uint32_t b) {
    if (a == b) return 0;
    if (tokens->head[a] != tokens->head[b]) return tokens->head[a] < tokens->head[b] ? -1 : 1;
    uint32_t shared = tokens->length[a] < tokens->length[b] ? tokens->length[a] : tokens->length[b];
    int order = memcmp(tokens->bytes + tokens->start[a], tokens->bytes + tokens->start[b], shared);
    return order ? order : (tokens->length[a] > tokens->length[b]) - (tokens->length[a] < tokens->length[b]);
}

static int is_preferred(const struct octad_heap *heap, const struct octad_candidate *a, const struct octad_candidate *b) {
    if (heap->tie_break == OCTAD_LOWEST_IDS) return a->left != b->left ? a->left < b->left : a->right < b->right;
    int order = compared(heap->tokens, a->left, b->left);
    if (!order) order = compared(heap->tokens, a->right, b->right);
    return heap->tie_break == OCTAD_GREATEST ? order > 0 : order < 0;
}

static inline int is_before(
    const struct octad_heap *heap, const struct octad_candidate *a, const struct octad_candidate *b
) {
    return a->count != b->count ? a->count > b->count : is_preferred(heap, a, b);
}

enum octad_status octad_heap_push(struct octad_heap *heap, struct octad_candidate item) {
    if (heap->count == heap->room) {
        size_t room = heap->room ? 2 * heap->room : 4096;
        struct octad_candidate *items = realloc(heap->items, room * sizeof *items);
        if (!items) return OCTAD_NO_MEMORY;
        heap->items = items;
        heap->room = room;
    }
    size_t at = heap->count++;
    while (at) {
        size_t parent = (at - 1) / 2;
        if (!is_before(heap, &item, &heap->items[parent])) break;
        heap->items[at] = heap->items[parent];
        at = parent;
    }
    heap->items[at] = item;
    return OCTAD_OK;
}

/* Move `item` down from the root. */
static void sink(struct octad_heap *heap, struct octad_candidate item) {
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < heap->count; at = child) {
        if (child + 1 < heap->count && is_before(heap, &heap->items[child + 1], &heap->items[child])) child++;
        if (!is_before(heap, &heap->items[child], &item)) break;
        heap->items[at] = heap->items[child];
    }
    heap->items[at] = item;
}

void octad_heap_pop(struct octad_heap *heap) {
    if (--heap->count) sink(heap, heap->items[heap->count]);
}

void octad_heap_fallen(struct octad_heap *heap) { sink(heap, heap->items[0]); }

/* Merging a piece of any length, by a heap of the merges that may be due, over a linked list. */
#include <stdlib.h>

#include "bpe.h"

struct pending {
    uint64_t *heap; /* rank << 32 | place */
    size_t size, room;
};

static int push(struct pending *pending, uint64_t entry) {
    if (pending->size == pending->room) {
        size_t room = pending->room * 2 + 64;
        uint64_t *grown = realloc(pending->heap, room * sizeof *grown);
        if (!grown) return -1;
        pending->heap = grown;
        pending->room = room;
    }
    size_t at = pending->size++;
    for (; at > 0 && pending->heap[(at - 1) / 2] > entry; at = (at - 1) / 2) pending->heap[at] = pending->heap[(at - 1) / 2];
    pending->heap[at] = entry;
    return 0;
}

static uint64_t pop(struct pending *pending) {
    uint64_t *heap = pending->heap, least = heap[0], last = heap[--pending->size];
    size_t at = 0, size = pending->size;
    for (size_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && heap[child + 1] < heap[child]) child++;
        if (heap[child] >= last) break;
        heap[at] = heap[child];
    }
    heap[at] = last;
    return least;
}

struct link {
    uint32_t token, previous, next, rank; /* rank of the token and the next; OCTAD_NO_RANK also where it is dead */
};

static int consider(const struct octad_bpe *bpe, struct link *links, size_t n, struct pending *pending, uint32_t at) {
    uint32_t next = links[at].next;
    links[at].rank = next == n ? OCTAD_NO_RANK : octad_pair_rank(bpe, links[at].token, links[next].token);
    return links[at].rank == OCTAD_NO_RANK ? 0 : push(pending, (uint64_t)links[at].rank << 32 | at);
}

static int merge_links(const struct octad_bpe *bpe, struct link *links, size_t n, struct pending *pending) {
    for (uint32_t i = 0; i < n; i++)
        if (consider(bpe, links, n, pending, i) < 0) return -1;
    while (pending->size) {
        uint64_t entry = pop(pending);
        uint32_t at = (uint32_t)entry, rank = (uint32_t)(entry >> 32);
        if (links[at].rank != rank) continue; /* the pair is gone */
        uint32_t next = links[at].next, beyond = links[next].next;
        links[at].token = bpe->product[rank];
        links[at].next = beyond;
        links[next].rank = OCTAD_NO_RANK;
        if (beyond < n) links[beyond].previous = at;
        if (consider(bpe, links, n, pending, at) < 0) return -1;
        if (at > 0 && consider(bpe, links, n, pending, links[at].previous) < 0) return -1;
    }
    return 0;
}

/* O(n log n); n < 2**32. */
size_t octad_merge_heap(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, uint32_t *tokens) {
    struct pending pending = {0};
    struct link *links = n < UINT32_MAX ? malloc((n + 1) * sizeof *links) : NULL;
    size_t count = SIZE_MAX;
    if (links) {
        for (uint32_t i = 0; i < n; i++) links[i] = (struct link){bpe->byte_token[bytes[i]], i - 1, i + 1, OCTAD_NO_RANK};
        if (merge_links(bpe, links, n, &pending) == 0) {
            count = 0;
            for (size_t i = 0; i < n; i = links[i].next) tokens[count++] = links[i].token;
        }
    }
    free(links);
    free(pending.heap);
    return count;
}

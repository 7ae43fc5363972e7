/* Sorted runs on disk. The order is that of the pieces' hashes: the table of counts is nearly in it already, because a
   piece's home is the top bits of its hash. A record: the length and the count, seven bits a byte, and the bytes. */
#include "piece_runs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#include <io.h>
#define read_some(file, to, n) _read(file, to, (unsigned)(n))
#define write_some(file, from, n) _write(file, from, (unsigned)(n))
#else
#include <unistd.h>
#define read_some(file, to, n) read(file, to, n)
#define write_some(file, from, n) write(file, from, n)
#endif

enum { BUFFER = 1 << 16, NUMBER_MAX = 10, HEADER_MAX = 2 * NUMBER_MAX };

static enum octad_status write_all(int file, const uint8_t *from, size_t n) {
    while (n) {
        long long written = (long long)write_some(file, from, n < ((size_t)1 << 30) ? n : (size_t)1 << 30);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return OCTAD_IO;
        from += written;
        n -= (size_t)written;
    }
    return OCTAD_OK;
}

static size_t put_number(uint8_t *to, uint64_t number) {
    size_t n = 0;
    for (; number >= 0x80; number >>= 7) to[n++] = (uint8_t)(number | 0x80);
    to[n++] = (uint8_t)number;
    return n;
}

static size_t get_number(const uint8_t *from, uint64_t *number) {
    size_t n = 0;
    *number = 0;
    do *number |= (uint64_t)(from[n] & 0x7F) << 7 * n;
    while (from[n++] & 0x80);
    return n;
}

static int order(uint64_t hash_a, const uint8_t *a, size_t a_length, uint64_t hash_b, const uint8_t *b, size_t b_length) {
    if (hash_a != hash_b) return hash_a < hash_b ? -1 : 1;
    if (a_length != b_length) return a_length < b_length ? -1 : 1;
    return memcmp(a, b, a_length);
}

static int slot_order(const struct octad_counts *counts, const struct octad_slot *a, const struct octad_slot *b) {
    size_t a_length, b_length;
    const uint8_t *a_bytes = octad_slot_bytes(counts, a, &a_length), *b_bytes = octad_slot_bytes(counts, b, &b_length);
    return order(octad_slot_hash(a), a_bytes, a_length, octad_slot_hash(b), b_bytes, b_length);
}

/* Move the taken slots together and sort them; returns how many. Insertion sort: each is a few places off at most. */
static size_t sort_slots(struct octad_counts *counts) {
    struct octad_slot *slots = counts->slots;
    size_t taken = 0;
    for (size_t k = 0; k < octad_counts_slots(counts); k++) {
        if (!slots[k].high) continue;
        struct octad_slot slot = slots[k];
        size_t at = taken++;
        for (; at && slot_order(counts, &slot, &slots[at - 1]) < 0; at--) slots[at] = slots[at - 1];
        slots[at] = slot;
    }
    return taken;
}

/* Records on their way into a file. */
struct writer {
    int file;
    uint8_t *buffer;
    size_t filled;
};

static enum octad_status flush(struct writer *writer) {
    enum octad_status status = write_all(writer->file, writer->buffer, writer->filled);
    writer->filled = 0;
    return status;
}

static enum octad_status put_record(void *context, const uint8_t *piece, size_t length, uint64_t count) {
    struct writer *writer = context;
    enum octad_status status = BUFFER - writer->filled < HEADER_MAX + length ? flush(writer) : OCTAD_OK;
    if (status) return status;
    writer->filled += put_number(writer->buffer + writer->filled, length);
    writer->filled += put_number(writer->buffer + writer->filled, count);
    if (BUFFER - writer->filled < length) {
        status = flush(writer);
        return status ? status : write_all(writer->file, piece, length);
    }
    memcpy(writer->buffer + writer->filled, piece, length);
    writer->filled += length;
    return OCTAD_OK;
}

enum octad_status octad_run_write(struct octad_counts *counts, int file) {
    struct writer writer = {file, malloc(BUFFER), 0};
    if (!writer.buffer) return OCTAD_NO_MEMORY;
    size_t taken = sort_slots(counts);
    enum octad_status status = OCTAD_OK;
    for (size_t k = 0; !status && k < taken; k++) {
        size_t length;
        const uint8_t *bytes = octad_slot_bytes(counts, &counts->slots[k], &length);
        status = put_record(&writer, bytes, length, counts->slots[k].count);
    }
    if (!status) status = flush(&writer);
    free(writer.buffer);
    octad_counts_clear(counts);
    return status;
}

struct run {
    int file, is_at_end;
    uint8_t *buffer;
    size_t at, filled, size;
    const uint8_t *piece; /* the first one that is not yet given */
    size_t length;
    uint64_t count, hash;
};

/* Have at least `needed` bytes from `at` on in the buffer, or all that the file still holds. */
static enum octad_status fill(struct run *run, size_t needed) {
    if (run->filled - run->at >= needed || run->is_at_end) return OCTAD_OK;
    memmove(run->buffer, run->buffer + run->at, run->filled - run->at);
    run->filled -= run->at;
    run->at = 0;
    if (needed > run->size) {
        uint8_t *buffer = realloc(run->buffer, needed + BUFFER);
        if (!buffer) return OCTAD_NO_MEMORY;
        run->buffer = buffer;
        run->size = needed + BUFFER;
    }
    while (run->filled < needed && !run->is_at_end) {
        size_t space = run->size - run->filled;
        long long got = (long long)read_some(run->file, run->buffer + run->filled, space < (1u << 30) ? space : 1u << 30);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return OCTAD_IO;
        run->is_at_end = got == 0;
        run->filled += (size_t)got;
    }
    return OCTAD_OK;
}

/* Go to the next piece; at the end of the run its length is 0. */
static enum octad_status advance(struct run *run) {
    run->length = 0;
    enum octad_status status = fill(run, HEADER_MAX);
    if (status || run->at == run->filled) return status;
    uint64_t length;
    run->at += get_number(run->buffer + run->at, &length);
    run->at += get_number(run->buffer + run->at, &run->count);
    status = fill(run, (size_t)length);
    if (status) return status;
    if (run->filled - run->at < length) return OCTAD_IO; /* cut off */
    run->length = (size_t)length;
    run->piece = run->buffer + run->at;
    run->at += run->length;
    run->hash = octad_piece_hash(run->piece, run->length);
    return OCTAD_OK;
}

static int is_before(const struct run *a, const struct run *b) {
    return order(a->hash, a->piece, a->length, b->hash, b->piece, b->length) < 0;
}

/* Restore the heap of runs below `at`. */
static void sink(struct run **heap, size_t count, size_t at) {
    struct run *run = heap[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && is_before(heap[child + 1], heap[child])) child++;
        if (!is_before(heap[child], run)) break;
        heap[at] = heap[child];
    }
    heap[at] = run;
}

struct last_piece {
    uint8_t *bytes;
    size_t length, size;
    uint64_t hash, count;
};

/* Take over the piece of a run: add to the last one if it is the same, else give that one away. */
static enum octad_status collect(struct last_piece *last, const struct run *run, octad_take_piece take, void *context) {
    if (last->length && !order(last->hash, last->bytes, last->length, run->hash, run->piece, run->length)) {
        last->count += run->count;
        return OCTAD_OK;
    }
    enum octad_status status = last->length ? take(context, last->bytes, last->length, last->count) : OCTAD_OK;
    if (status) return status;
    if (run->length > last->size) {
        uint8_t *bytes = realloc(last->bytes, 2 * run->length);
        if (!bytes) return OCTAD_NO_MEMORY;
        last->bytes = bytes;
        last->size = 2 * run->length;
    }
    memcpy(last->bytes, run->piece, run->length);
    last->length = run->length;
    last->hash = run->hash;
    last->count = run->count;
    return OCTAD_OK;
}

static enum octad_status merge_heap(struct run **heap, size_t alive, octad_take_piece take, void *context) {
    struct last_piece last = {0};
    enum octad_status status = OCTAD_OK;
    for (size_t at = alive; at-- > 0;) sink(heap, alive, at);
    while (!status && alive) {
        status = collect(&last, heap[0], take, context);
        if (!status) status = advance(heap[0]);
        if (status) break;
        if (!heap[0]->length) heap[0] = heap[--alive];
        if (alive) sink(heap, alive, 0);
    }
    if (!status && last.length) status = take(context, last.bytes, last.length, last.count);
    free(last.bytes);
    return status;
}

enum octad_status octad_runs_merge(const int *files, size_t count, octad_take_piece take, void *context) {
    struct run *runs = calloc(count + 1, sizeof *runs), **heap = calloc(count + 1, sizeof *heap);
    enum octad_status status = runs && heap ? OCTAD_OK : OCTAD_NO_MEMORY;
    size_t alive = 0;
    for (size_t k = 0; !status && k < count; k++) {
        runs[k].file = files[k];
        runs[k].size = BUFFER;
        runs[k].buffer = malloc(BUFFER);
        status = runs[k].buffer ? advance(&runs[k]) : OCTAD_NO_MEMORY;
        if (!status && runs[k].length) heap[alive++] = &runs[k];
    }
    if (!status) status = merge_heap(heap, alive, take, context);
    for (size_t k = 0; runs && k < count; k++) free(runs[k].buffer);
    free(runs);
    free(heap);
    return status;
}

enum octad_status octad_runs_join(const int *files, size_t count, int into) {
    struct writer writer = {into, malloc(BUFFER), 0};
    if (!writer.buffer) return OCTAD_NO_MEMORY;
    enum octad_status status = octad_runs_merge(files, count, put_record, &writer);
    if (!status) status = flush(&writer);
    free(writer.buffer);
    return status;
}

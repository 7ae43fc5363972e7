/* What the learner holds: pieces in cells, tokens, the list of occurrences. */
#include <stdlib.h>
#include <string.h>

#include "merge_learner.h"

static void byte_tokens(struct octad_learner *learner) {
    struct octad_tokens *tokens = &learner->tokens;
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t id = learner->id_of[byte];
        tokens->bytes[id] = (uint8_t)byte;
        tokens->length[id] = 1;
        tokens->head[id] = (uint64_t)byte << 56;
        tokens->start[id] = id;
    }
    tokens->start[256] = tokens->count = 256;
}

enum octad_status octad_learner_init(struct octad_learner *learner, const uint8_t bytes[256]) {
    memset(learner, 0, sizeof *learner);
    for (uint32_t id = 0; id < 256; id++) learner->id_of[bytes[id]] = id;
    learner->list_limit = SIZE_MAX / sizeof(struct octad_occurrence) / 4;
    enum octad_status status = octad_learner_reserve(learner, 4096);
    if (!status) learner->cells[learner->used++] = OCTAD_MARK;
    return status;
}

enum octad_status octad_learner_start(
    struct octad_learner *learner, size_t max_tokens, size_t known, enum octad_tie_break tie_break,
    uint64_t min_frequency
) {
    size_t most = 256 + known + learner->used; /* each merge but the known ones needs a pair of cells */
    if (max_tokens > most) max_tokens = most;
    if (max_tokens < 256 + known || max_tokens > OCTAD_MAX_TOKENS) return OCTAD_TOO_LONG;
    learner->max_tokens = (uint32_t)max_tokens;
    learner->min_frequency = learner->floor = min_frequency > 1 ? min_frequency : 1;
    struct octad_tokens *tokens = &learner->tokens;
    tokens->bytes_size = 4096;
    tokens->bytes = malloc(tokens->bytes_size);
    tokens->length = malloc(max_tokens * sizeof *tokens->length);
    tokens->head = malloc(max_tokens * sizeof *tokens->head);
    tokens->start = malloc((max_tokens + 1) * sizeof *tokens->start);
    learner->before.number = calloc(max_tokens, sizeof *learner->before.number);
    learner->after.number = calloc(max_tokens, sizeof *learner->after.number);
    learner->merged_as_left = calloc(max_tokens, sizeof *learner->merged_as_left);
    learner->merged_as_right = calloc(max_tokens, sizeof *learner->merged_as_right);
    learner->merges = malloc((max_tokens - 255) * 2 * sizeof *learner->merges);
    learner->heap.tie_break = tie_break;
    learner->heap.tokens = tokens;
    if (!tokens->bytes || !tokens->length || !tokens->head || !tokens->start || !learner->before.number
        || !learner->after.number || !learner->merged_as_left || !learner->merged_as_right || !learner->merges)
        return OCTAD_NO_MEMORY;
    byte_tokens(learner);
    return OCTAD_OK;
}

static void free_side(struct octad_side *side) {
    free(side->number);
    free(side->neighbours);
    free(side->found);
}

void octad_learner_free(struct octad_learner *learner) {
    free(learner->cells);
    free(learner->heavy);
    free(learner->tokens.bytes);
    free(learner->tokens.length);
    free(learner->tokens.head);
    free(learner->tokens.start);
    free(learner->heap.items);
    free(learner->list);
    free_side(&learner->before);
    free_side(&learner->after);
    free(learner->merged_as_left);
    free(learner->merged_as_right);
    free(learner->merges);
    memset(learner, 0, sizeof *learner);
}

enum octad_status octad_learner_reserve(struct octad_learner *learner, size_t cells) {
    if (cells <= learner->room) return OCTAD_OK;
    if (cells > OCTAD_MARK) cells = OCTAD_MARK; /* places are 32-bit numbers, with room for a token's length behind */
    uint32_t *grown = realloc(learner->cells, cells * sizeof *grown);
    if (!grown) return OCTAD_NO_MEMORY;
    learner->cells = grown;
    learner->room = cells;
    return OCTAD_OK;
}

/* The mark before a piece. */
static enum octad_status mark(struct octad_learner *learner, uint64_t count) {
    uint32_t *cell = &learner->cells[learner->used - 1]; /* the end so far */
    if (count < OCTAD_HEAVY) {
        *cell = OCTAD_MARK | (uint32_t)count;
        return OCTAD_OK;
    }
    if (learner->heavy_count == learner->heavy_room) {
        size_t room = 2 * learner->heavy_room + 16;
        struct octad_heavy *heavy = realloc(learner->heavy, room * sizeof *heavy);
        if (!heavy) return OCTAD_NO_MEMORY;
        learner->heavy = heavy;
        learner->heavy_room = room;
    }
    learner->heavy[learner->heavy_count++] = (struct octad_heavy){learner->used - 1, count};
    *cell = OCTAD_MARK | OCTAD_HEAVY;
    return OCTAD_OK;
}

enum octad_status octad_learner_add(
    struct octad_learner *learner, const uint8_t *piece, size_t length, uint64_t count
) {
    if (length < 2 || !count) return OCTAD_OK; /* no pairs */
    if (length >= OCTAD_MARK || learner->used + length + 1 > OCTAD_MARK) return OCTAD_TOO_LONG;
    enum octad_status status = OCTAD_OK;
    if (learner->used + length + 1 > learner->room)
        status = octad_learner_reserve(learner, (learner->used + length + 1) / 2 * 3);
    if (!status) status = mark(learner, count);
    if (status) return status;
    uint32_t *cells = learner->cells + learner->used;
    for (size_t k = 0; k < length; k++) cells[k] = learner->id_of[piece[k]];
    cells[length] = OCTAD_MARK;
    learner->used += length + 1;
    return OCTAD_OK;
}

uint64_t octad_heavy_weight(const struct octad_learner *learner, size_t at) {
    size_t low = 0, high = learner->heavy_count; /* the last mark at or before `at` */
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (learner->heavy[middle].at <= at)
            low = middle;
        else
            high = middle;
    }
    return learner->heavy[low].weight;
}

enum octad_status octad_learner_list_room(struct octad_learner *learner, size_t needed) {
    if (learner->list_room - learner->list_used >= needed) return OCTAD_OK;
    size_t least = learner->list_used + needed, room = least + learner->list_room / 2;
    if (room > learner->list_limit) room = least > learner->list_limit ? least : learner->list_limit;
    struct octad_occurrence *list = realloc(learner->list, room * sizeof *list);
    if (!list) return OCTAD_NO_MEMORY;
    learner->list = list;
    learner->list_room = room;
    return OCTAD_OK;
}

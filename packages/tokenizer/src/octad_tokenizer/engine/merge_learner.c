/* The learner: take the most frequent pair, write the new token into the cells, list the pairs that it makes.

   A merge changes three kinds of counts. The merged pair is gone. Pairs that lose occurrences keep their old count in
   the heap, which is then too high; their lists are looked through when they come up, so that no table of counts is
   needed. And pairs that gain occurrences hold the new token, so they are all new: one candidate each. */
#include "merge_learner.h"

#include <stdlib.h>
#include <string.h>

enum { AHEAD = 12, BETWEEN_FLOORS = 128, SAFETY = 16, LOWER = 8 };

/* Keep the occurrences that are left of the best candidate, and count them. */
static void recount(struct octad_learner *learner, struct octad_candidate *best) {
    const uint32_t *cells = learner->cells;
    struct octad_occurrence *list = learner->list + best->first;
    uint32_t kept = 0, length = learner->tokens.length[best->left];
    uint64_t count = 0;
    for (uint32_t k = 0; k < best->occurrences; k++) {
        if (k + AHEAD < best->occurrences) OCTAD_PREFETCH(&cells[list[k + AHEAD].at]);
        struct octad_occurrence found = list[k];
        if (cells[found.at] != best->left || cells[(size_t)found.at + length] != best->right) continue;
        list[kept++] = found;
        count += octad_full_weight(learner, found.weight, found.at);
    }
    learner->work += best->occurrences;
    best->occurrences = kept;
    best->count = count;
    best->counted_at = (uint32_t)learner->merge_count;
}

static int is_exact(const struct octad_learner *learner, const struct octad_candidate *pair) {
    return learner->merged_as_right[pair->left] <= pair->counted_at
        && learner->merged_as_left[pair->right] <= pair->counted_at;
}

/* The most frequent pair, out of the heap; `found` is 0 where none is frequent enough. */
static enum octad_status take_best(struct octad_learner *learner, struct octad_candidate *pair, int *found) {
    struct octad_heap *heap = &learner->heap;
    for (*found = 0; !*found;) {
        if (!heap->count || heap->items[0].count < learner->floor) {
            if (learner->floor <= learner->min_frequency) return OCTAD_OK;
            uint64_t lower = learner->floor / LOWER;
            enum octad_status status =
                octad_learner_survey(learner, lower > learner->min_frequency ? lower : learner->min_frequency);
            if (status) return status;
            continue;
        }
        uint64_t count = heap->items[0].count;
        if (!is_exact(learner, &heap->items[0])) recount(learner, &heap->items[0]);
        if (heap->items[0].count == count) {
            *pair = heap->items[0];
            *found = 1;
            octad_heap_pop(heap);
        } else if (heap->items[0].count < learner->floor) {
            octad_heap_pop(heap);
        } else {
            octad_heap_fallen(heap);
        }
    }
    return OCTAD_OK;
}

static inline void note_beside(
    struct octad_learner *learner, struct octad_side *side, uint32_t token, size_t at, uint32_t weight
) {
    uint32_t number = side->number[token];
    if (!number) {
        number = side->number[token] = (uint32_t)++side->neighbour_count;
        side->neighbours[number - 1] = (struct octad_neighbour){.token = token};
    }
    struct octad_neighbour *neighbour = &side->neighbours[number - 1];
    neighbour->count += octad_full_weight(learner, weight, at);
    neighbour->occurrences++;
    side->found[side->found_count++] = (struct octad_beside){number - 1, (uint32_t)at, weight};
}

/* Write `product` wherever the pair is, from the left, and note what stands beside it then. */
static void rewrite(struct octad_learner *learner, const struct octad_candidate *pair, uint32_t product) {
    uint32_t *cells = learner->cells, left = pair->left, right = pair->right;
    const uint32_t *length = learner->tokens.length;
    const struct octad_occurrence *list = learner->list + pair->first;
    uint32_t left_length = length[left], both = length[product];
    for (uint32_t k = 0; k < pair->occurrences; k++) {
        if (k + AHEAD < pair->occurrences) OCTAD_PREFETCH(&cells[list[k + AHEAD].at]);
        size_t at = list[k].at, behind = at + both;
        if (cells[at] != left || cells[at + left_length] != right) continue; /* "aaa": the second "aa" */
        cells[at + left_length] = OCTAD_STALE;
        cells[behind - 1] = cells[at] = product;
        uint32_t before = cells[at - 1], after = cells[behind];
        if (before < OCTAD_STALE && before != product) /* two products: noted by the first as what is after it */
            note_beside(learner, &learner->before, before, at - length[before], list[k].weight);
        if (after < OCTAD_STALE) {
            int is_next_merged = after == left && cells[behind + left_length] == right;
            note_beside(learner, &learner->after, is_next_merged ? product : after, at, list[k].weight);
        }
    }
    learner->work += pair->occurrences;
}

static enum octad_status side_room(struct octad_side *side, size_t needed) {
    if (needed <= side->found_room) return OCTAD_OK;
    size_t room = needed + needed / 2;
    struct octad_beside *found = realloc(side->found, room * sizeof *found);
    if (!found) return OCTAD_NO_MEMORY;
    side->found = found;
    side->found_room = room;
    return OCTAD_OK;
}

/* A merge has at most as many neighbours as occurrences, or as there are tokens. */
static enum octad_status neighbour_room(struct octad_side *side, size_t needed, size_t tokens) {
    needed = needed < tokens ? needed : tokens;
    if (needed <= side->neighbour_room) return OCTAD_OK;
    size_t room = needed + needed / 2;
    struct octad_neighbour *neighbours = realloc(side->neighbours, room * sizeof *neighbours);
    if (!neighbours) return OCTAD_NO_MEMORY;
    side->neighbours = neighbours;
    side->neighbour_room = room;
    return OCTAD_OK;
}

/* The pair that a neighbour makes with the product, of which `learner->list` does not know yet. */
static struct octad_candidate new_pair(
    const struct octad_learner *learner, const struct octad_side *side, const struct octad_neighbour *neighbour,
    uint32_t product
) {
    int is_before = side == &learner->before;
    return (struct octad_candidate){
        .count = neighbour->count,
        .left = is_before ? neighbour->token : product,
        .right = is_before ? product : neighbour->token,
        .occurrences = neighbour->occurrences,
        .counted_at = (uint32_t)learner->merge_count,
    };
}

/* Which of the new pairs will be candidates: the frequent ones, or in a replay those that it merges. Returns how many
   occurrences they have. */
static size_t choose(struct octad_learner *learner, struct octad_side *side, uint32_t product) {
    size_t sum = 0;
    for (size_t k = 0; k < side->neighbour_count; k++) {
        struct octad_neighbour *neighbour = &side->neighbours[k];
        if (learner->replay) {
            struct octad_candidate pair = new_pair(learner, side, neighbour, product);
            neighbour->is_listed = octad_replay_find(learner->replay, pair.left, pair.right) != NULL;
        } else {
            neighbour->is_listed = neighbour->count >= learner->floor;
        }
        if (neighbour->is_listed) sum += neighbour->occurrences;
    }
    return sum;
}

/* Make the chosen ones of the new pairs candidates. The list has room. */
static enum octad_status list_side(struct octad_learner *learner, struct octad_side *side, uint32_t product) {
    for (size_t k = 0; k < side->neighbour_count; k++) {
        struct octad_neighbour *neighbour = &side->neighbours[k];
        if (!neighbour->is_listed) continue;
        struct octad_candidate pair = new_pair(learner, side, neighbour, product);
        pair.first = neighbour->next = learner->list_used;
        learner->list_used += neighbour->occurrences;
        if (learner->replay) {
            *octad_replay_find(learner->replay, pair.left, pair.right) = pair;
        } else {
            enum octad_status status = octad_heap_push(&learner->heap, pair);
            if (status) return status;
        }
    }
    for (size_t k = 0; k < side->found_count; k++) {
        struct octad_beside *found = &side->found[k];
        struct octad_neighbour *neighbour = &side->neighbours[found->neighbour];
        if (neighbour->is_listed)
            learner->list[neighbour->next++] = (struct octad_occurrence){found->at, found->weight};
    }
    return OCTAD_OK;
}

static void forget_side(struct octad_side *side) {
    for (size_t k = 0; k < side->neighbour_count; k++) side->number[side->neighbours[k].token] = 0;
    side->neighbour_count = side->found_count = 0;
}

/* The new pairs become candidates; where the list is full of dead occurrences, all pairs are surveyed anew. */
static enum octad_status list_new_pairs(struct octad_learner *learner, uint32_t product) {
    size_t before = choose(learner, &learner->before, product), after = choose(learner, &learner->after, product);
    enum octad_status status = OCTAD_OK;
    if (learner->list_used + before + after > learner->list_limit && !learner->replay) {
        status = octad_learner_survey(learner, learner->floor);
    } else {
        status = octad_learner_list_room(learner, before + after);
        if (!status && before) status = list_side(learner, &learner->before, product);
        if (!status && after) status = list_side(learner, &learner->after, product);
    }
    forget_side(&learner->before);
    forget_side(&learner->after);
    return status;
}

/* The token that left and right make. */
static enum octad_status add_token(struct octad_learner *learner, uint32_t left, uint32_t right) {
    struct octad_tokens *tokens = &learner->tokens;
    size_t first = tokens->length[left], length = first + tokens->length[right], start = tokens->start[tokens->count];
    if (length > UINT32_MAX / 2) return OCTAD_TOO_LONG;
    if (start + length > tokens->bytes_size) {
        size_t size = 2 * (start + length);
        uint8_t *bytes = realloc(tokens->bytes, size);
        if (!bytes) return OCTAD_NO_MEMORY;
        tokens->bytes = bytes;
        tokens->bytes_size = size;
    }
    uint8_t *bytes = tokens->bytes + start;
    memcpy(bytes, tokens->bytes + tokens->start[left], first);
    memcpy(bytes + first, tokens->bytes + tokens->start[right], length - first);
    uint64_t head = 0;
    for (size_t k = 0; k < 8; k++) head = head << 8 | (k < length ? bytes[k] : 0);
    tokens->head[tokens->count] = head;
    tokens->length[tokens->count] = (uint32_t)length;
    tokens->start[++tokens->count] = start + length;
    return OCTAD_OK;
}

enum octad_status octad_learner_merge(struct octad_learner *learner, const struct octad_candidate *pair) {
    uint32_t product = learner->tokens.count;
    enum octad_status status = add_token(learner, pair->left, pair->right);
    if (!status) status = side_room(&learner->before, pair->occurrences);
    if (!status) status = side_room(&learner->after, pair->occurrences);
    if (!status) status = neighbour_room(&learner->before, pair->occurrences, learner->tokens.count);
    if (!status) status = neighbour_room(&learner->after, pair->occurrences, learner->tokens.count);
    if (status) return status;
    learner->merges[2 * learner->merge_count] = pair->left;
    learner->merges[2 * learner->merge_count + 1] = pair->right;
    learner->merge_count++;
    rewrite(learner, pair, product);
    learner->merged_as_left[pair->left] = learner->merged_as_right[pair->right] = (uint32_t)learner->merge_count;
    return list_new_pairs(learner, product);
}

/* Leave out new pairs that will hardly be merged before the end: the count of the k-th merge falls about as 1 / k. Where
   that is wrong, a survey finds them when the frequent ones run out. */
static void raise_floor(struct octad_learner *learner, uint64_t count) {
    double last = (double)count * (double)learner->merge_count / (double)(learner->max_tokens - 256);
    uint64_t floor = last < 9e18 ? (uint64_t)(last / SAFETY) : learner->floor;
    if (floor > learner->floor) learner->floor = floor;
}

enum octad_status octad_learner_run(struct octad_learner *learner) {
    enum octad_status status = octad_learner_survey(learner, learner->min_frequency);
    while (!status && learner->tokens.count < learner->max_tokens) {
        struct octad_candidate pair;
        int found;
        status = take_best(learner, &pair, &found);
        if (status || !found) break;
        if (learner->merge_count % BETWEEN_FLOORS == 0) raise_floor(learner, pair.count);
        status = octad_learner_merge(learner, &pair);
        if (status || !learner->tick) continue;
        status = learner->tick(learner, learner->work, learner->context);
        learner->work = 0;
    }
    return status;
}

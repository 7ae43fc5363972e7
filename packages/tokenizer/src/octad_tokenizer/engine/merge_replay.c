/* Merges that are known already, done again on other pieces: before the second phase of superword training. */
#include <stdlib.h>
#include <string.h>

#include "merge_learner.h"

static size_t place_of(const struct octad_replay *replay, uint64_t key) {
    size_t last = ((size_t)1 << replay->bits) - 1, at = (size_t)(key * 0x9E3779B97F4A7C15u >> (64 - replay->bits));
    while (replay->keys[at] != UINT64_MAX && replay->keys[at] != key) at = (at + 1) & last;
    return at;
}

struct octad_candidate *octad_replay_find(const struct octad_replay *replay, uint32_t left, uint32_t right) {
    size_t at = place_of(replay, (uint64_t)left << 32 | right);
    return replay->keys[at] == UINT64_MAX ? NULL : &replay->pairs[replay->ranks[at]];
}

static enum octad_status replay_init(struct octad_replay *replay, const uint32_t *merges, size_t count) {
    replay->bits = 4;
    while (((size_t)1 << replay->bits) < 2 * count) replay->bits++;
    size_t places = (size_t)1 << replay->bits;
    replay->keys = malloc(places * sizeof *replay->keys);
    replay->ranks = malloc(places * sizeof *replay->ranks);
    replay->pairs = calloc(count + 1, sizeof *replay->pairs);
    if (!replay->keys || !replay->ranks || !replay->pairs) return OCTAD_NO_MEMORY;
    memset(replay->keys, 0xFF, places * sizeof *replay->keys);
    for (size_t k = 0; k < count; k++) {
        uint64_t key = (uint64_t)merges[2 * k] << 32 | merges[2 * k + 1];
        size_t at = place_of(replay, key);
        replay->keys[at] = key;
        replay->ranks[at] = (uint32_t)k;
        replay->pairs[k] = (struct octad_candidate){.left = merges[2 * k], .right = merges[2 * k + 1]};
    }
    return OCTAD_OK;
}

static void replay_free(struct octad_replay *replay) {
    free(replay->keys);
    free(replay->ranks);
    free(replay->pairs);
}

/* List the occurrences of pairs that are there from the beginning, by two walks: how many, and where. */
static enum octad_status list_first_pairs(struct octad_learner *learner, struct octad_replay *replay, size_t count) {
    struct octad_walk walk = {0};
    uint32_t left, right;
    size_t at, sum = 0;
    struct octad_candidate *pair;
    while (octad_next_pair(learner, &walk, &left, &right, &at))
        if ((pair = octad_replay_find(replay, left, right))) pair->occurrences++;
    for (size_t k = 0; k < count; k++) {
        replay->pairs[k].first = learner->list_used + sum;
        sum += replay->pairs[k].occurrences;
        replay->pairs[k].occurrences = 0;
    }
    enum octad_status status = octad_learner_list_room(learner, sum);
    if (status) return status;
    learner->list_used += sum;
    walk = (struct octad_walk){0};
    while (octad_next_pair(learner, &walk, &left, &right, &at))
        if ((pair = octad_replay_find(replay, left, right)))
            learner->list[pair->first + pair->occurrences++] = (struct octad_occurrence){(uint32_t)at, walk.weight};
    return OCTAD_OK;
}

enum octad_status octad_learner_replay(struct octad_learner *learner, const uint32_t *merges, size_t count) {
    struct octad_replay replay = {0};
    enum octad_status status = replay_init(&replay, merges, count);
    if (!status) status = list_first_pairs(learner, &replay, count);
    learner->replay = &replay;
    for (size_t k = 0; !status && k < count; k++) {
        status = octad_learner_merge(learner, &replay.pairs[k]);
        if (!status && learner->tick) status = learner->tick(learner, learner->work, learner->context);
        learner->work = 0;
    }
    learner->replay = NULL;
    learner->list_used = 0;
    replay_free(&replay);
    return status;
}

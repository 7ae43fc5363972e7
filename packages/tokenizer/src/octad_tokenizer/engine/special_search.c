/* Searching for many names at once: by their first two bytes, then by a hash for each length that names have. */
#include "special_search.h"

#include <stdlib.h>
#include <string.h>

#include "bpe.h"

static int longer_first(const void *a, const void *b) {
    size_t left = *(const size_t *)a, right = *(const size_t *)b;
    return (left < right) - (left > right);
}

static size_t name_length(const struct octad_specials *specials, size_t name) {
    return specials->start[name + 1] - specials->start[name];
}

static void index_name(struct octad_specials *specials, size_t name) {
    const uint8_t *bytes = specials->bytes + specials->start[name];
    size_t length = name_length(specials, name), at = (size_t)octad_hash_bytes(bytes, length) & specials->slots_mask;
    while (specials->slots[at]) at = (at + 1) & specials->slots_mask;
    specials->slots[at] = (uint32_t)name + 1;
    for (unsigned second = length > 1 ? bytes[1] : 0; second <= (length > 1 ? bytes[1] : 255u); second++) {
        unsigned pair = (unsigned)bytes[0] << 8 | second;
        specials->pairs[pair >> 6] |= (uint64_t)1 << (pair & 63);
    }
    if (specials->only_first != bytes[0]) specials->only_first = name == 0 ? bytes[0] : -1;
}

static void list_lengths(struct octad_specials *specials) {
    for (size_t name = 0; name < specials->count; name++) specials->lengths[name] = name_length(specials, name);
    qsort(specials->lengths, specials->count, sizeof *specials->lengths, longer_first);
    for (size_t k = 0; k < specials->count; k++)
        if (k == 0 || specials->lengths[k] != specials->lengths[k - 1])
            specials->lengths[specials->num_lengths++] = specials->lengths[k];
    specials->longest = specials->lengths[0];
}

int octad_specials_build(struct octad_specials *specials, const uint8_t *bytes, const uint32_t *ends,
                         const uint32_t *ids, size_t count) {
    memset(specials, 0, sizeof *specials);
    size_t size = count ? ends[count - 1] : 0, slots = 8;
    while (slots < 2 * count) slots *= 2;
    specials->count = count;
    specials->only_first = -1;
    specials->slots_mask = slots - 1;
    specials->bytes = malloc(size + 1);
    specials->start = malloc((count + 1) * sizeof *specials->start);
    specials->ids = malloc((count + 1) * sizeof *specials->ids);
    specials->slots = calloc(slots, sizeof *specials->slots);
    specials->lengths = malloc((count + 1) * sizeof *specials->lengths);
    if (!specials->bytes || !specials->start || !specials->ids || !specials->slots || !specials->lengths) {
        octad_specials_free(specials);
        return -1;
    }
    memcpy(specials->bytes, bytes, size);
    specials->start[0] = 0;
    for (size_t name = 0; name < count; name++) {
        specials->start[name + 1] = ends[name];
        specials->ids[name] = ids[name];
        index_name(specials, name);
    }
    if (count) list_lengths(specials);
    return 0;
}

void octad_specials_free(struct octad_specials *specials) {
    free(specials->bytes);
    free(specials->start);
    free(specials->ids);
    free(specials->slots);
    free(specials->lengths);
    memset(specials, 0, sizeof *specials);
}

static int match_at(const struct octad_specials *specials, const uint8_t *text, size_t n, size_t at,
                    struct octad_special_match *match) {
    if (at + 1 < n) {
        unsigned pair = (unsigned)text[at] << 8 | text[at + 1];
        if (!(specials->pairs[pair >> 6] >> (pair & 63) & 1)) return 0;
    }
    for (size_t k = 0; k < specials->num_lengths; k++) {
        size_t length = specials->lengths[k];
        if (length > n - at) continue;
        size_t slot = (size_t)octad_hash_bytes(text + at, length) & specials->slots_mask;
        for (; specials->slots[slot]; slot = (slot + 1) & specials->slots_mask) {
            size_t name = specials->slots[slot] - 1;
            if (name_length(specials, name) != length) continue;
            if (memcmp(specials->bytes + specials->start[name], text + at, length) != 0) continue;
            *match = (struct octad_special_match){at, at + length, specials->ids[name]};
            return 1;
        }
    }
    return 0;
}

int octad_specials_find(const struct octad_specials *specials, const uint8_t *text, size_t n, size_t from,
                        struct octad_special_match *match) {
    if (specials->count == 0) return 0;
    for (size_t at = from; at < n; at++) {
        if (specials->only_first >= 0) {
            const uint8_t *found = memchr(text + at, specials->only_first, n - at);
            if (!found) return 0;
            at = (size_t)(found - text);
        }
        if (match_at(specials, text, n, at, match)) return 1;
    }
    return 0;
}

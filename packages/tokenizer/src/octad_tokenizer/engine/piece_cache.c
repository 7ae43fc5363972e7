/* What the cache of pieces keeps and what it forgets. */
#include "piece_cache.h"

#include <stdlib.h>

#include "table_memory.h"

#define RING_WORDS ((size_t)1 << OCTAD_RING_BITS)

int octad_cache_new(struct octad_cache *cache) {
    size_t places = (size_t)1 << OCTAD_CACHE_BITS, words = RING_WORDS + OCTAD_RECORD_SLACK;
    memset(cache, 0, sizeof *cache);
    cache->front = octad_table_new(((size_t)1 << OCTAD_FRONT_BITS) * sizeof *cache->front, &cache->front_block);
    cache->entries = octad_table_new(places * sizeof *cache->entries, &cache->entries_block);
    cache->ring = octad_table_new(words * sizeof *cache->ring, &cache->ring_block);
    if (cache->front && cache->entries && cache->ring) return 0;
    octad_cache_free(cache);
    return -1;
}

void octad_cache_free(struct octad_cache *cache) {
    free(cache->front_block);
    free(cache->entries_block);
    free(cache->ring_block);
    memset(cache, 0, sizeof *cache);
}

/* Free the entry and its copy in front. */
static void forget(struct octad_cache *cache, struct octad_cached *entry) {
    struct octad_cached *copy = cache->front + octad_front_place(octad_key_hash(entry->key));
    if (octad_key_equals(copy->key, entry->key)) memset(copy, 0, sizeof *copy);
    memset(entry, 0, sizeof *entry);
}

static void drop_oldest_record(struct octad_cache *cache) {
    const uint32_t *record = cache->ring + cache->oldest;
    struct octad_cached *owner = cache->entries + record[OCTAD_RECORD_OWNER];
    if ((owner->count & OCTAD_IN_RING) && owner->ids[0] == cache->oldest) forget(cache, owner);
    cache->oldest += record[OCTAD_RECORD_WORDS];
}

/* Where so many words may be written; what was there is forgotten. */
static size_t room_in_ring(struct octad_cache *cache, size_t words) {
    if (cache->next + words > RING_WORDS) {
        while (cache->oldest < cache->lap_end) drop_oldest_record(cache);
        cache->lap_end = cache->next;
        cache->next = cache->oldest = 0;
    }
    while (cache->oldest < cache->lap_end && cache->oldest < cache->next + words) drop_oldest_record(cache);
    cache->next += words;
    return cache->next - words;
}

static void put_in_ring(struct octad_cache *cache, struct octad_cached *entry, const uint8_t *piece, const uint32_t *ids,
                        size_t count) {
    size_t bytes = entry->key.high < OCTAD_LONG_KEY ? 0 : (size_t)(entry->key.high & 0xFF);
    size_t words = OCTAD_RECORD_IDS + count + (bytes + 3) / 4, at = room_in_ring(cache, words);
    uint32_t *record = cache->ring + at;
    record[OCTAD_RECORD_OWNER] = (uint32_t)(entry - cache->entries);
    record[OCTAD_RECORD_WORDS] = (uint32_t)words;
    memcpy(record + OCTAD_RECORD_IDS, ids, count * sizeof *ids);
    memcpy(record + OCTAD_RECORD_IDS + count, piece, bytes);
    entry->ids[0] = (uint32_t)at;
    entry->count = (uint32_t)count | OCTAD_IN_RING;
}

void octad_cache_put(struct octad_cache *cache, struct octad_key key, uint64_t hash, const uint8_t *piece,
                     const uint32_t *ids, size_t count) {
    struct octad_cached *entry = cache->entries + octad_cache_place(hash);
    unsigned way = 0; /* a free one of four, or any: text comes again and again in one order */
    while (way < OCTAD_WAYS && entry[way].key.high != 0 && !octad_key_equals(entry[way].key, key)) way++;
    if (way == OCTAD_WAYS) way = (unsigned)((cache->num_put * 0x9E3779B97F4A7C15u) >> 62);
    cache->num_put++;
    entry += way;
    if (entry->key.high) forget(cache, entry);
    entry->key = key;
    if (count > OCTAD_CACHED_IDS || key.high >= OCTAD_LONG_KEY) {
        put_in_ring(cache, entry, piece, ids, count);
    } else {
        memcpy(entry->ids, ids, count * sizeof *ids);
        entry->count = (uint32_t)count;
    }
}

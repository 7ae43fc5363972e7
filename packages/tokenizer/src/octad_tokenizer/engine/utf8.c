/* Where valid UTF-8 ends. */
#include <string.h>

#include "pretoken.h"

static int is_trail(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* The length of the character at p with `left` bytes to read; 0 if it is none. */
static size_t character(const uint8_t *p, size_t left) {
    uint8_t lead = p[0];
    if (lead < 0x80) return 1;
    if (lead < 0xC2 || left < 2 || !is_trail(p[1])) return 0; /* C0 and C1 would write ASCII in two bytes */
    if (lead < 0xE0) return 2;
    if (left < 3 || !is_trail(p[2])) return 0;
    if (lead == 0xE0 && p[1] < 0xA0) return 0;  /* longer than needed */
    if (lead == 0xED && p[1] >= 0xA0) return 0; /* surrogates */
    if (lead < 0xF0) return 3;
    if (left < 4 || !is_trail(p[3])) return 0;
    if (lead == 0xF0 && p[1] < 0x90) return 0; /* longer than needed */
    if (lead > 0xF4 || (lead == 0xF4 && p[1] >= 0x90)) return 0; /* past U+10FFFF */
    return 4;
}

size_t octad_utf8_prefix(const uint8_t *data, size_t n) {
    size_t i = 0;
    while (i < n) {
        uint64_t word;
        while (n - i >= 8 && (memcpy(&word, data + i, 8), (word & 0x8080808080808080u) == 0)) i += 8;
        if (i == n) break;
        size_t length = character(data + i, n - i);
        if (length == 0) break;
        i += length;
    }
    return i;
}

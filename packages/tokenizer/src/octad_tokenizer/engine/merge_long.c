/* Merging a piece of any length.

   Tokens t_1 .. t_k are the encoding of their joined bytes if and only if each two neighbours t_i t_{i+1} are the
   encoding of theirs: as long as no merge has crossed a border, each token's inside goes its way alone, and the first
   merge that crosses a border, being the lowest and leftmost of all, is also that of the two tokens beside it. (The
   tables may be any; nothing is assumed about how they were made.)

   So a long piece is merged in windows that overlap: where two of them have the same token at the same place, their
   encodings are joined at this token, since every pair of neighbours lies inside a window. Small windows are tried first
   (merge_windows.c); where they do not agree larger ones, at last the whole piece. */
#include <stdlib.h>

#include "bpe.h"

enum { LARGE_WINDOW = 2048, LAST_TOKENS_NOT_TRUSTED = 2, MOST_TRIES = 8 };

struct window {
    const uint8_t *bytes;
    size_t length, count;
    uint32_t *tokens;
};

/* Fills `window` with the encoding of bytes[0..length); `last` may hold the same bytes. -1 where memory is lacking. */
static int encode_window(const struct octad_bpe *bpe, const uint8_t *bytes, size_t length, const struct window *last,
                         struct window *window) {
    window->bytes = bytes;
    window->length = length;
    if (last && last->length == length && memcmp(last->bytes, bytes, length) == 0) { /* text that repeats itself */
        memcpy(window->tokens, last->tokens, last->count * sizeof *last->tokens);
        window->count = last->count;
        return 0;
    }
    window->count = octad_merge_heap(bpe, bytes, length, window->tokens);
    return window->count == SIZE_MAX ? -1 : 0;
}

/* Writes the encoding by windows of `size` bytes to `tokens`: how many there are; 0 where windows do not agree; SIZE_MAX
   where memory is lacking. `room` is for 2 * size tokens. */
static size_t merge_large_windows(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, size_t size, uint32_t *room,
                            uint32_t *tokens) {
    struct window windows[2] = {{.tokens = room}, {.tokens = room + size}}, *now = windows, *then = windows + 1;
    size_t count = 0;
    if (encode_window(bpe, bytes, size < n ? size : n, NULL, now) < 0) return SIZE_MAX;
    for (const uint8_t *end = bytes + n; now->bytes + now->length < end;) {
        const uint8_t *at = now->bytes + now->length;
        size_t k = now->count;
        int agrees = 0;
        for (size_t tries = 0; !agrees; tries++) {
            size_t skip = tries ? 1 : LAST_TOKENS_NOT_TRUSTED + 1, tried = k;
            for (; skip > 0 && k > 1; skip--) at -= octad_token_length(bpe, now->tokens[--k]);
            if (k == tried || tries == MOST_TRIES) return 0;
            size_t length = (size_t)(end - at) < size ? (size_t)(end - at) : size;
            if (encode_window(bpe, at, length, now, then) < 0) return SIZE_MAX;
            agrees = then->tokens[0] == now->tokens[k];
        }
        memcpy(tokens + count, now->tokens, k * sizeof *tokens);
        count += k;
        struct window *swap = now;
        now = then;
        then = swap;
    }
    memcpy(tokens + count, now->tokens, now->count * sizeof *tokens);
    return count + now->count;
}

size_t octad_merge(const struct octad_bpe *bpe, const uint8_t *bytes, size_t n, uint32_t *tokens) {
    if (n <= 1) {
        if (n) tokens[0] = bpe->byte_token[bytes[0]];
        return n;
    }
    if (n <= OCTAD_SHORT_PIECE) return octad_merge_short(bpe, bytes, n, tokens);
    size_t count = octad_merge_windows(bpe, bytes, n, tokens);
    if (count == 0 && n > LARGE_WINDOW) {
        uint32_t *room = malloc(2 * LARGE_WINDOW * sizeof *room);
        if (!room) return SIZE_MAX;
        count = merge_large_windows(bpe, bytes, n, LARGE_WINDOW, room, tokens);
        free(room);
    }
    return count ? count : octad_merge_heap(bpe, bytes, n, tokens);
}

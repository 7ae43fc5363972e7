/* The scanners, many pre-tokens at a time: the rules of the expressions as arithmetic on sets of 64 places.

   A block begins where a pre-token begins, so nothing is carried from one to the next. Each rule gives the places in the
   block where a pre-token begins for certain, however the text goes on; the next block begins at the last of them.
   Whatever a rule cannot say (a run longer than a block, characters that are rare) is left to the scanner of one at a
   time. Notation: `x << 1` is the set of places after those in x. */
#ifndef OCTAD_PRETOKEN_BLOCKS_H
#define OCTAD_PRETOKEN_BLOCKS_H

#include "byte_block.h"
#include "pretoken_inline.h"

/* Which expressions a rule is for; constants, so that each scanner is compiled with what it needs and no more. */
struct octad_family {
    unsigned digits;   /* how many numbers a pre-token takes */
    int any_number;    /* whether numbers past ASCII can be told in a block */
    int cased;         /* whether upper and lower case, and marks, matter */
};

/* x, and the bytes that belong to the characters beginning there. */
static inline uint64_t octad_whole(uint64_t x, uint64_t trail) {
    x |= x << 1 & trail;
    x |= x << 1 & trail;
    return x | (x << 1 & trail);
}

/* bit if class has one of the bits in mask, else nothing; without a branch, which text would make a guess. */
static inline uint64_t octad_bit_if(uint64_t bit, unsigned class, unsigned mask) {
    return (class & mask) ? bit : 0;
}

/* Marks count as letters where they follow one. Others end what the rules can follow: they may begin a word. */
static inline void octad_add_marks(struct octad_block *b, uint64_t mark) {
    b->letter |= mark & ~(mark + (mark & b->letter << 1));
    uint64_t alone = mark & ~b->letter;
    if (alone) b->known = octad_lowest_bit(alone);
    b->is_hard |= alone != 0;
}

/* Put the characters past ASCII into the sets, each with all its bytes, up to the first that a rule cannot follow:
   a space, a number where they are counted. */
static OCTAD_INLINE void octad_add_high(struct octad_block *block, const uint8_t *text, struct octad_family family) {
    struct octad_block b = *block;
    for (unsigned p = 0; p < 64; p += OCTAD_LANES) b.trail |= octad_trail(octad_load(text + p)) << p;
    const unsigned hard = family.any_number ? OCTAD_SPACE : OCTAD_SPACE | OCTAD_NUMBER;
    uint64_t letter = 0, number = 0, upper = 0, lower = 0;
    for (uint64_t left = b.high & ~b.trail; left; left &= left - 1) {
        unsigned p = octad_lowest_bit(left);
        size_t length;
        unsigned class = octad_class_at(text + p, &length);
        b.is_hard = (class & hard) != 0;
        if (OCTAD_UNLIKELY(b.is_hard || p + length > 64)) {
            b.known = p;
            break;
        }
        uint64_t bit = left & (0 - left);
        letter |= octad_bit_if(bit, class, OCTAD_LETTER);
        if (family.any_number) number |= octad_bit_if(bit, class, OCTAD_NUMBER);
        if (family.cased) upper |= octad_bit_if(bit, class, OCTAD_UPPER);
        if (family.cased) lower |= octad_bit_if(bit, class, OCTAD_LOWER);
    }
    b.letter |= octad_whole(letter, b.trail);
    b.number |= octad_whole(number, b.trail);
    b.upper |= octad_whole(upper & ~lower, b.trail);
    b.both = octad_whole(upper & lower, b.trail);
    if (family.cased && (upper & ~letter)) octad_add_marks(&b, octad_whole(upper & ~letter, b.trail));
    *block = b;
}

/* Contractions that begin at a place in `from`: what follows each begins a pre-token, what it holds does not. */
static inline uint64_t octad_cut_contractions(uint64_t starts, uint64_t from, const uint8_t *text, size_t n,
                                              int any_case) {
    for (; from; from &= from - 1) {
        unsigned p = octad_lowest_bit(from);
        size_t length = any_case ? octad_any_case_contraction(text, n, p) : octad_contraction(text, n, p);
        if (length) starts = (starts & ~(octad_from(p + 1) & ~octad_from(p + (unsigned)length)))
                           | (octad_from(p + (unsigned)length) & ~octad_from(p + (unsigned)length + 1));
    }
    return starts;
}

/* The rule of GPT2: a pre-token begins where the kind of character changes, but not after a blank, which is taken along;
   and at the last space of a run. */
static inline uint64_t octad_gpt2_starts(const uint8_t *text, size_t n, struct octad_block block) {
    uint64_t letter = block.letter, number = block.number, space = block.space, blank = block.blank;
    uint64_t other = ~(letter | number | space);
    uint64_t other_starts = other & ~((other | blank) << 1);
    uint64_t starts = (letter & ~((letter | blank) << 1)) | (number & ~((number | blank) << 1)) | other_starts
                    | (space & (~(space << 1) | ~(space >> 1)));
    starts = octad_cut_contractions(starts, block.apostrophe & other_starts, text, n, 0);
    return starts & ~octad_from(block.known ? block.known - 1 : 0) & ~(uint64_t)1;
}

/* Where \p{N}{1,3} begins: every third place of a run. */
static inline uint64_t octad_number_starts(uint64_t number) {
    uint64_t starts = number & ~(number << 1), full = number & number << 1 & number << 2;
    for (uint64_t next = starts; (next = next << 3 & full);) starts |= next;
    return starts;
}

/* Line ends that punctuation takes along: a run of them after `other`. The sum carries each such run past its end. */
static inline uint64_t octad_taken_line_ends(uint64_t line_end, uint64_t other) {
    return line_end & ~(line_end + (line_end & other << 1));
}

/* Where white space begins a pre-token: at a run, after its last line end, at its last character if that is none.
   `space` is without the line ends taken along. A line of spaces alone holds no such place: `known` ends there. */
static inline uint64_t octad_space_starts(uint64_t space, uint64_t plain, uint64_t last, unsigned *known) {
    uint64_t line_end = space & ~plain, indents = plain & line_end << 1;
    uint64_t after_indents = (plain + indents) & ~plain & line_end;
    if (OCTAD_UNLIKELY(after_indents)) {
        unsigned at = octad_lowest_bit(after_indents);
        if (at < *known) *known = at;
    }
    return (space & ~(space << 1)) | indents | last;
}

/* Contractions at `from` belong to the words before them, one to each; what follows them begins a pre-token. */
static inline uint64_t octad_attach_contractions(uint64_t starts, uint64_t from, const uint8_t *text, size_t n,
                                                 unsigned *known) {
    unsigned end = 64;
    for (; from; from &= from - 1) {
        unsigned p = octad_lowest_bit(from);
        unsigned length = p == end ? 0 : (unsigned)octad_any_case_contraction(text, n, p);
        if (length == 0) continue;
        end = p + length;
        starts = (starts & ~(octad_from(p) & ~octad_from(end))) | (octad_from(end) & ~octad_from(end + 1));
        /* A mark there would begin a word, and the sets have it as a part of the one before. */
        if (end < 64 && text[end] >= 0x80 && end + 2 < *known) *known = end + 2;
    }
    return starts;
}

/* The first place of `places` below known. */
static inline unsigned octad_known_until(uint64_t places, unsigned known) {
    return places && octad_lowest_bit(places) < known ? octad_lowest_bit(places) : known;
}

/* Upper case begins a word after lower case. After letters without case that depends on what follows: `known` ends. */
static inline uint64_t octad_case_starts(const struct octad_block *block, unsigned *known) {
    *known = octad_known_until(block->upper & block->both << 1, *known);
    return block->upper & (block->letter & ~block->upper) << 1;
}

/* A / that follows a line end taken along is taken too: `known` ends there. */
static inline unsigned octad_known_until_slash(uint64_t after_taken, const uint8_t *text, unsigned known) {
    for (; after_taken; after_taken &= after_taken - 1) {
        unsigned p = octad_lowest_bit(after_taken);
        if (p >= known) break;
        if (text[p] == '/') return p;
    }
    return known;
}

/* The starts that are certain, when places from `known` on are not: a run of spaces that reaches there may go on. */
static inline uint64_t octad_certain(uint64_t starts, uint64_t space, unsigned known) {
    if (known == 0) return 0;
    unsigned sure = known - 1;
    if (space >> sure & 1) {
        uint64_t before = ~space & ~octad_from(sure);
        sure = before ? octad_highest_bit(before) + 2 : 1;
    }
    return starts & ~octad_from(sure) & ~(uint64_t)1;
}

/* The rule of CL100K, QWEN2 and O200K. One character that is no line end is taken along by the letters after it; a blank
   is taken along by punctuation, which takes the line ends after it. */
static inline uint64_t octad_line_starts(const uint8_t *text, size_t n, struct octad_block block,
                                         struct octad_family family) {
    unsigned known = block.known;
    uint64_t letter = block.letter, other = ~(letter | block.number | block.space);
    uint64_t taken = octad_taken_line_ends(block.line_end, other);
    uint64_t space = block.space & ~taken, plain = space & ~block.line_end;
    uint64_t other_starts = other & ~((other | block.blank) << 1), joined = octad_whole(other_starts, block.trail);
    uint64_t starts = (letter & ~((letter | plain | joined) << 1)) | other_starts;
    starts |= octad_space_starts(space, plain, plain & ~(block.space >> 1), &known);
    if (block.number) starts |= family.digits == 1 ? block.number & ~block.trail : octad_number_starts(block.number);
    if (family.cased) {
        if (OCTAD_UNLIKELY(taken)) known = octad_known_until_slash(other & taken << 1, text, known);
        starts |= octad_case_starts(&block, &known);
        starts = octad_attach_contractions(starts, block.apostrophe & letter << 1, text, n, &known);
    } else {
        starts = octad_cut_contractions(starts, block.apostrophe & other_starts, text, n, 1);
    }
    return octad_certain(starts, block.space, known);
}

/* Write base + place for each place; four at a time, as the branch on a count of one would be a guess. Writes up to
   three ends too many, and so needs room for 64. */
static inline size_t octad_write_places(uint64_t places, size_t base, size_t *ends) {
    unsigned count = octad_count_bits(places);
    for (unsigned k = 0; k < count; k += 4) {
        for (unsigned j = 0; j < 4; j++) {
            ends[k + j] = base + octad_lowest_bit(places | (uint64_t)1 << 63);
            places &= places - 1;
        }
    }
    return count;
}

enum {
    OCTAD_BLOCK = 64,
    OCTAD_SINGLY = 8,     /* pre-tokens to find one at a time where a block did not help, */
    OCTAD_PROGRESS = 16,  /* which is if it found less than so many bytes of them: no text must cost a block a byte */
    OCTAD_MOST_HIGH = 40, /* bytes past ASCII from which on a block does not help, nor would the next */
    OCTAD_SINGLY_HIGH = 16,
};

#endif

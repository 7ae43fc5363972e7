/* The scanners, one pre-token at a time, to be inlined by whoever calls them in a hot loop.

   All of them assume valid UTF-8 and start < n. Each looks at a run of characters at most twice, so that a text costs
   time in proportion to its length whatever it holds. */
#ifndef OCTAD_PRETOKEN_INLINE_H
#define OCTAD_PRETOKEN_INLINE_H

#include "byte_runs.h"
#include "pretoken.h"

/* Ideographs U+4E00..9FFF and syllables U+B000..CFFF from i: letters without case, all of them, three bytes each. */
static inline size_t octad_skip_ideographs(const uint8_t *text, size_t n, size_t i) {
    while (n - i >= 3) {
        uint8_t lead = text[i];
        int is_one = (uint8_t)(lead - 0xE5) < 5 || (uint8_t)(lead - 0xEB) < 2 || (lead == 0xE4 && text[i + 1] >= 0xB8);
        if (!is_one) break;
        i += 3;
    }
    return i;
}

/* \p{L}* from i. */
static inline size_t octad_skip_letters(const uint8_t *text, size_t n, size_t i) {
    for (;;) {
        i = octad_skip_ascii_letters(text, n, i);
        if (i == n || text[i] < 0x80) return i;
        do {
            size_t length;
            i = octad_skip_ideographs(text, n, i);
            if (i == n || !(octad_class_at(text + i, &length) & OCTAD_LETTER)) return i;
            i += length;
        } while (i < n && text[i] >= 0x80);
    }
}

/* \p{N}{0,most} from i. */
static inline size_t octad_skip_numbers(const uint8_t *text, size_t n, size_t i, size_t most) {
    while (i < n && most-- > 0) {
        size_t length;
        if (!(octad_class_at(text + i, &length) & OCTAD_NUMBER)) return i;
        i += length;
    }
    return i;
}

/* [^\s\p{L}\p{N}]* from i. */
static inline size_t octad_skip_others(const uint8_t *text, size_t n, size_t i) {
    while (i < n) {
        size_t length;
        if (octad_class_at(text + i, &length) & OCTAD_WORDLIKE) return i;
        i += length;
    }
    return i;
}

/* [\r\n]* from i, and / where `slash` says so. */
static inline size_t octad_skip_line_ends(const uint8_t *text, size_t n, size_t i, int slash) {
    while (i < n && (text[i] == '\n' || text[i] == '\r' || (slash && text[i] == '/'))) i++;
    return i;
}

/* A run of \s that begins at `start`: where its last character begins, where it ends, and where its last line end ends
   (0 if it has none). */
struct octad_space_run {
    size_t last, end, after_line_end;
};

static inline struct octad_space_run octad_space_run_at(const uint8_t *text, size_t n, size_t start) {
    struct octad_space_run run = {start, start, 0};
    while (run.end < n) {
        size_t length;
        if (!(octad_class_at(text + run.end, &length) & OCTAD_SPACE)) break;
        run.last = run.end;
        if (text[run.end] == '\n' || text[run.end] == '\r') run.after_line_end = run.end + 1;
        run.end += length;
    }
    return run;
}

/* \s+(?!\S)|\s+ : all but the last character of a run that something follows. */
static inline size_t octad_space_end(struct octad_space_run run, size_t n, size_t start) {
    return run.end == n || run.last == start ? run.end : run.last;
}

/* The length of 's|'t|'re|'ve|'m|'ll|'d at i, where an apostrophe stands; 0 if there is none. */
static inline size_t octad_contraction(const uint8_t *text, size_t n, size_t i) {
    if (n - i < 2) return 0;
    uint8_t a = text[i + 1];
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (n - i < 3) return 0;
    uint8_t b = text[i + 2];
    return (b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l') ? 3 : 0;
}

/* The same in either case. U+017F, the long s, is an s by Unicode's simple case folding; no other letter folds so. */
static inline size_t octad_any_case_contraction(const uint8_t *text, size_t n, size_t i) {
    if (n - i < 2) return 0;
    uint8_t a = text[i + 1] | 0x20;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (n - i < 3) return 0;
    if (text[i + 1] == 0xC5 && text[i + 2] == 0xBF) return 3;
    uint8_t b = text[i + 2] | 0x20;
    return (b == 'e' && (a == 'r' || a == 'v')) || (a == 'l' && b == 'l') ? 3 : 0;
}

/* 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+ */
static inline size_t octad_gpt2_end(const uint8_t *text, size_t n, size_t start) {
    size_t i = start + (text[start] == ' ');
    if (i == n) return n;
    if (OCTAD_LIKELY(octad_is_ascii_letter(text[i]))) return octad_skip_letters(text, n, i + 1);
    size_t length;
    unsigned class = octad_class_at(text + i, &length);
    if (class & OCTAD_LETTER) return octad_skip_letters(text, n, i + length);
    if (class & OCTAD_NUMBER) return octad_skip_numbers(text, n, i + length, SIZE_MAX);
    if (class & OCTAD_SPACE) return octad_space_end(octad_space_run_at(text, n, start), n, start);
    if (i == start && text[i] == '\'') {
        size_t contraction = octad_contraction(text, n, i);
        if (contraction) return start + contraction;
    }
    return octad_skip_others(text, n, i + length);
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ ; where `whole_at_end`, \s++$ before them. */
static inline size_t octad_line_space_end(const uint8_t *text, size_t n, size_t start, int whole_at_end) {
    struct octad_space_run run = octad_space_run_at(text, n, start);
    if (whole_at_end && run.end == n) return n;
    return run.after_line_end ? run.after_line_end : octad_space_end(run, n, start);
}

/*  ?[^\s\p{L}\p{N}]+[\r\n]* from `start`, with / among the line ends where `slash` says so; else white space, as
   nothing else is left. `class` is that of the character at `start`. */
static inline size_t octad_other_or_space_end(const uint8_t *text, size_t n, size_t start, unsigned class, int slash,
                                              int whole_at_end) {
    size_t first = start + (text[start] == ' ');
    if (first > start || !(class & OCTAD_SPACE)) {
        size_t others = octad_skip_others(text, n, first);
        if (others > first) return octad_skip_line_ends(text, n, others, slash);
    }
    return octad_line_space_end(text, n, start, whole_at_end);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*
   |\s*[\r\n]+|\s+(?!\S)|\s+ ; and \s++$ where `whole_at_end`. */
static inline size_t octad_cl100k_family_end(const uint8_t *text, size_t n, size_t start, size_t digits,
                                             int whole_at_end) {
    size_t after = start + 1;
    uint8_t first = text[start];
    if (OCTAD_LIKELY((first == ' ' && after < n && octad_is_ascii_letter(text[after])) || octad_is_ascii_letter(first)))
        return octad_skip_letters(text, n, after);
    size_t length;
    unsigned class = octad_class_at(text + start, &length);
    after = start + length;
    if (class & OCTAD_LETTER) return octad_skip_letters(text, n, after);
    if (class & OCTAD_NUMBER) return octad_skip_numbers(text, n, after, digits - 1);
    if (first == '\'') {
        size_t contraction = octad_any_case_contraction(text, n, start);
        if (contraction) return start + contraction;
    }
    if (first != '\n' && first != '\r') {
        size_t letters = octad_skip_letters(text, n, after);
        if (letters > after) return letters;
    }
    return octad_other_or_space_end(text, n, start, class, 0, whole_at_end);
}

static inline size_t octad_cl100k_end(const uint8_t *text, size_t n, size_t start) {
    return octad_cl100k_family_end(text, n, start, 3, 0);
}

static inline size_t octad_qwen2_end(const uint8_t *text, size_t n, size_t start) {
    return octad_cl100k_family_end(text, n, start, 1, 0);
}

static inline size_t octad_cl100k_tiktoken_end(const uint8_t *text, size_t n, size_t start) {
    return octad_cl100k_family_end(text, n, start, 3, 1);
}

/* [\p{Ll}\p{Lm}\p{Lo}\p{M}]* from i. */
static inline size_t octad_skip_lower(const uint8_t *text, size_t n, size_t i) {
    while (i < n) {
        size_t length;
        i = octad_skip_ideographs(text, n, octad_skip_ascii_lower(text, n, i));
        if (i == n || !(octad_class_at(text + i, &length) & OCTAD_LOWER)) return i;
        i += length;
    }
    return i;
}

/* UPPER*LOWER+|UPPER+LOWER* from i, the first where it matches: the end of the word, or i if there is none.
   UPPER is [\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}], LOWER [\p{Ll}\p{Lm}\p{Lo}\p{M}]. Only the first is tried if `lower_only`.

   UPPER* takes all it can. If a character of LOWER alone follows, LOWER+ goes on from there. If not, UPPER* gives back
   until it ends before a character of both, and LOWER+ has just this one, as what was given back after it is of UPPER
   alone. */
static inline size_t octad_cased_word_end(const uint8_t *text, size_t n, size_t i, int lower_only) {
    size_t start = i, after_both = start;
    while (i < n) {
        size_t length, ideographs = octad_skip_ideographs(text, n, i);
        if (ideographs > i) after_both = i = ideographs;
        if (i == n) break;
        unsigned class = octad_class_at(text + i, &length);
        if (!(class & OCTAD_UPPER)) {
            if (class & OCTAD_LOWER) return octad_skip_lower(text, n, i + length);
            break;
        }
        i += length;
        if (class & OCTAD_LOWER) after_both = i;
    }
    return after_both > start || lower_only ? after_both : i;
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)? at i. */
static inline size_t octad_with_contraction(const uint8_t *text, size_t n, size_t i) {
    return i < n && text[i] == '\'' ? i + octad_any_case_contraction(text, n, i) : i;
}

/* The word that may begin at `start`, with one character before its letters that is no letter, number or line end;
   `start` if there is none. A mark may be that character or the first of the word. */
static inline size_t octad_o200k_word_end(const uint8_t *text, size_t n, size_t start, size_t after, unsigned class) {
    size_t end;
    if (class & OCTAD_LETTER) return octad_cased_word_end(text, n, start, 0);
    if (text[start] == '\n' || text[start] == '\r') return start;
    if (!(class & OCTAD_UPPER)) { /* no mark: it cannot be the first of the word */
        end = octad_cased_word_end(text, n, after, 0);
        return end > after ? end : start;
    }
    end = octad_cased_word_end(text, n, after, 1);
    return end > after ? end : octad_cased_word_end(text, n, start, 1);
}

/* The four lines of O200K in patterns.py. */
static inline size_t octad_o200k_end(const uint8_t *text, size_t n, size_t start) {
    size_t length;
    unsigned class = octad_class_at(text + start, &length);
    if (class & OCTAD_NUMBER) return octad_skip_numbers(text, n, start + length, 2);
    size_t word = octad_o200k_word_end(text, n, start, start + length, class);
    if (word > start) return octad_with_contraction(text, n, word);
    return octad_other_or_space_end(text, n, start, class, 1, 0);
}

#endif

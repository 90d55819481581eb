/* What is done to every byte of a head, and to every name.
 *
 * scan_text: the first byte in [p, end) that cannot stand in a line of a head: a control byte other than
 * HTAB, or DEL; `end` if there is none. A line ends in CR, which is such a byte: so one pass both finds the
 * end of a line and refuses what must not stand in it (RFC 9110 section 5.5).
 *
 * is_text: whether all of [p, p + n) can stand there.
 *
 * scan_colon: the first ':' in [p, end), or `end`.
 *
 * scan_target: the first byte in [p, end) that is no printable ASCII character, or is '#' or '?'; or `end`.
 *
 * same_bytes: whether two stretches of n bytes, 1 or more, are equal. Names are short: a call of memcmp takes longer.
 *
 * copy_bytes: as memcpy, of n bytes that are mostly few.
 *
 * name_hash: of a name of n bytes, 1 or more.
 *
 * Sixteen or eight bytes a step where SSE2 is there (every x86-64 has it), one byte a step elsewhere and at the
 * tail; no byte outside of the stretch is read. On a browser's head of 12 fields the wide step saves 0.4 microseconds.
 */
#ifndef TRICORN_SCAN_H
#define TRICORN_SCAN_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline uint32_t
load_4(const unsigned char *p)
{
    uint32_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

static inline uint64_t
load_8(const unsigned char *p)
{
    uint64_t word;
    memcpy(&word, p, sizeof(word));
    return word;
}

#ifdef __SSE2__
/* A bit for each byte of the block that cannot stand in a line. */
static inline unsigned int
refused_in(__m128i block)
{
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, _mm_set1_epi8(0x1f)), block);
    const __m128i refused = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8(0x09)), control),
                                         _mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f)));
    return (unsigned int)_mm_movemask_epi8(refused);
}

/* The same for the bytes at which scan_target stops. As signed numbers, those from 0x80 on are below the blank. */
static inline unsigned int
special_in(__m128i block)
{
    const __m128i printable = _mm_cmpgt_epi8(block, _mm_set1_epi8(0x20));
    const __m128i special = _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8(0x7f)),
                                         _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('#')),
                                                      _mm_cmpeq_epi8(block, _mm_set1_epi8('?'))));
    return (unsigned int)_mm_movemask_epi8(_mm_or_si128(special, _mm_cmpeq_epi8(printable, _mm_setzero_si128())));
}

static inline unsigned int
colons_in(__m128i block)
{
    return (unsigned int)_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(':')));
}

/* Go on while the bytes are none that `found_in` looks for; return the first that is. */
#define TRICORN_WIDE_STEPS(found_in)                                                        \
    while (end - p >= 16) {                                                                 \
        const unsigned int mask = found_in(_mm_loadu_si128((const __m128i *)p));            \
        if (mask != 0)                                                                      \
            return p + __builtin_ctz(mask);                                                 \
        p += 16;                                                                            \
    }                                                                                       \
    if (end - p >= 8) {                                                                     \
        const unsigned int mask = found_in(_mm_loadl_epi64((const __m128i *)p)) & 0xff;     \
        if (mask != 0)                                                                      \
            return p + __builtin_ctz(mask);                                                 \
        p += 8;                                                                             \
    }
#else
#define TRICORN_WIDE_STEPS(found_in)
#endif

static inline const unsigned char *
scan_text(const unsigned char *p, const unsigned char *end)
{
    TRICORN_WIDE_STEPS(refused_in)
    while (p < end && (*p >= 0x20 || *p == 0x09) && *p != 0x7f)
        p++;
    return p;
}

static inline const unsigned char *
scan_colon(const unsigned char *p, const unsigned char *end)
{
    TRICORN_WIDE_STEPS(colons_in)
    while (p < end && *p != ':')
        p++;
    return p;
}

static inline const unsigned char *
scan_target(const unsigned char *p, const unsigned char *end)
{
    TRICORN_WIDE_STEPS(special_in)
    while (p < end && *p > 0x20 && *p < 0x7f && *p != '#' && *p != '?')
        p++;
    return p;
}

static inline int
is_text(const unsigned char *p, ptrdiff_t n)
{
#ifdef __SSE2__
    /* A step may look at some bytes twice, so that none is left for a loop over bytes. */
    if (n >= 16) {
        const unsigned char *last = p + n - 16;
        unsigned int mask = refused_in(_mm_loadu_si128((const __m128i *)last));
        for (; p < last; p += 16)
            mask |= refused_in(_mm_loadu_si128((const __m128i *)p));
        return mask == 0;
    }
    if (n >= 8)
        return refused_in(_mm_set_epi64x((long long)load_8(p), (long long)load_8(p + n - 8))) == 0;
    if (n >= 4)
        return (refused_in(_mm_set_epi32(0, 0, (int)load_4(p), (int)load_4(p + n - 4))) & 0xff) == 0;
#endif
    return scan_text(p, p + n) == p + n;
}

static inline int
same_bytes(const unsigned char *a, const unsigned char *b, ptrdiff_t n)
{
    ptrdiff_t i;
    if (n >= 8) {
        for (i = 0; i < n - 8; i += 8)
            if (load_8(a + i) != load_8(b + i))
                return 0;
        return load_8(a + n - 8) == load_8(b + n - 8);
    }
    if (n >= 4)
        return load_4(a) == load_4(b) && load_4(a + n - 4) == load_4(b + n - 4);
    return a[0] == b[0] && a[n >> 1] == b[n >> 1] && a[n - 1] == b[n - 1];
}

static inline void
copy_bytes(unsigned char *to, const unsigned char *from, ptrdiff_t n)
{
    uint64_t first_8, last_8;
    uint32_t first_4, last_4;
    if (n > 16) {
        memcpy(to, from, (size_t)n);
    } else if (n >= 8) {
        first_8 = load_8(from);
        last_8 = load_8(from + n - 8);
        memcpy(to, &first_8, 8);
        memcpy(to + n - 8, &last_8, 8);
    } else if (n >= 4) {
        first_4 = load_4(from);
        last_4 = load_4(from + n - 4);
        memcpy(to, &first_4, 4);
        memcpy(to + n - 4, &last_4, 4);
    } else {
        for (; n > 0; n--)
            *to++ = *from++;
    }
}

static inline unsigned int
name_hash(const unsigned char *name, ptrdiff_t n)
{
    uint32_t h = (uint32_t)n;
    if (n >= 4)
        h = (h + load_4(name)) * 0x9E3779B1u + load_4(name + n - 4);
    else
        h = (h << 8 | name[0]) << 8 | name[n - 1];
    return (h * 0x85EBCA77u) >> 16;
}

#endif

/* Byte scanners of the request head.
 *
 * scan_text: the first byte in [p, end) that cannot stand in a line of a head: a control byte other than
 * HTAB, or DEL; `end` if there is none. A line ends in CR, which is such a byte: so one pass both finds the
 * end of a line and refuses what must not stand in it (RFC 9110 section 5.5).
 *
 * scan_colon: the first ':' in [p, end), or `end`.
 *
 * Sixteen bytes a step where SSE2 is there (every x86-64 has it), one byte a step elsewhere and at the tail;
 * no byte outside [p, end) is read. On a browser's head of 12 fields the wide step saves 0.4 microseconds.
 */
#ifndef TRICORN_SCAN_H
#define TRICORN_SCAN_H

#include <stddef.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

static inline const unsigned char *
scan_text(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
    const __m128i last_control = _mm_set1_epi8(0x1f);
    const __m128i tab = _mm_set1_epi8(0x09);
    const __m128i del = _mm_set1_epi8(0x7f);
    while (end - p >= 16) {
        const __m128i block = _mm_loadu_si128((const __m128i *)p);
        const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(block, last_control), block);
        const __m128i refused = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(block, tab), control),
                                             _mm_cmpeq_epi8(block, del));
        const int mask = _mm_movemask_epi8(refused);
        if (mask != 0)
            return p + __builtin_ctz((unsigned int)mask);
        p += 16;
    }
#endif
    while (p < end && (*p >= 0x20 || *p == 0x09) && *p != 0x7f)
        p++;
    return p;
}

static inline const unsigned char *
scan_colon(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
    const __m128i colon = _mm_set1_epi8(':');
    while (end - p >= 16) {
        const int mask = _mm_movemask_epi8(_mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)p), colon));
        if (mask != 0)
            return p + __builtin_ctz((unsigned int)mask);
        p += 16;
    }
#endif
    while (p < end && *p != ':')
        p++;
    return p;
}

#endif

/* The two loops over every byte of a WebSocket payload.
 *
 * unmask: dst[i] = src[i] ^ key byte (i mod 4), RFC 6455 section 5.3. Tells whether any byte of the result is
 * beyond ASCII, so a text of ASCII needs no second look. dst and src must not overlap: the last step goes over
 * bytes that are done already, instead of a loop over single bytes.
 *
 * utf8_feed: a check of UTF-8 (RFC 3629) that goes on where the last piece ended, and refuses the first byte
 * that cannot stand where it stands: surrogates, overlong forms and values beyond U+10FFFF show in the second
 * byte of a character.
 *
 * Sixteen bytes a step where SSE2 is there (every x86-64 has it), eight elsewhere. No byte outside of
 * [src, src + n) and [dst, dst + n) is touched.
 */
#ifndef TRICORN_FRAMES_H
#define TRICORN_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define HIGH_BITS 0x8080808080808080u

/* The key as it stands in memory, for a payload that begins `n` bytes later. */
static inline uint32_t
turn_key(uint32_t key, size_t n)
{
    unsigned char twice[8];
    memcpy(twice, &key, 4);
    memcpy(twice + 4, &key, 4);
    memcpy(&key, twice + (n & 3), 4);
    return key;
}

static inline uint64_t
unmask_8(unsigned char *dst, const unsigned char *src, uint32_t key)
{
    uint64_t word, wide;
    memcpy(&wide, &key, 4);
    memcpy((unsigned char *)&wide + 4, &key, 4);
    memcpy(&word, src, 8);
    word ^= wide;
    memcpy(dst, &word, 8);
    return word;
}

static inline uint32_t
unmask_4(unsigned char *dst, const unsigned char *src, uint32_t key)
{
    uint32_t word;
    memcpy(&word, src, 4);
    word ^= key;
    memcpy(dst, &word, 4);
    return word;
}

/* Fewer than 16 bytes. */
static inline int
unmask_short(unsigned char *dst, const unsigned char *src, size_t n, uint32_t key)
{
    unsigned char seen = 0;
    if (n >= 8) {
        const uint64_t words = unmask_8(dst, src, key) | unmask_8(dst + n - 8, src + n - 8, turn_key(key, n - 8));
        return (words & HIGH_BITS) != 0;
    }
    if (n >= 4) {
        const uint32_t words = unmask_4(dst, src, key) | unmask_4(dst + n - 4, src + n - 4, turn_key(key, n - 4));
        return (words & (uint32_t)HIGH_BITS) != 0;
    }
    for (size_t i = 0; i < n; i++)
        seen |= dst[i] = src[i] ^ ((const unsigned char *)&key)[i];
    return seen >> 7;
}

#ifdef __SSE2__
static inline __m128i
unmask_16(unsigned char *dst, const unsigned char *src, __m128i key)
{
    const __m128i block = _mm_xor_si128(_mm_loadu_si128((const __m128i *)src), key);
    _mm_storeu_si128((__m128i *)dst, block);
    return block;
}
#endif

/* True: some byte of the result is beyond ASCII. */
static inline int
unmask(unsigned char *restrict dst, const unsigned char *restrict src, size_t n, uint32_t key)
{
    size_t i = 0;
    if (n < 16)
        return unmask_short(dst, src, n, key);
#ifdef __SSE2__
    const __m128i wide = _mm_set1_epi32((int)key);
    __m128i seen = _mm_setzero_si128();
    for (; n - i >= 64; i += 64) {
        const __m128i a = unmask_16(dst + i, src + i, wide);
        const __m128i b = unmask_16(dst + i + 16, src + i + 16, wide);
        const __m128i c = unmask_16(dst + i + 32, src + i + 32, wide);
        const __m128i d = unmask_16(dst + i + 48, src + i + 48, wide);
        seen = _mm_or_si128(seen, _mm_or_si128(_mm_or_si128(a, b), _mm_or_si128(c, d)));
    }
    for (; n - i >= 16; i += 16)
        seen = _mm_or_si128(seen, unmask_16(dst + i, src + i, wide));
    if (i < n)
        seen = _mm_or_si128(seen, unmask_16(dst + n - 16, src + n - 16,
                                            _mm_set1_epi32((int)turn_key(key, n - 16))));
    return _mm_movemask_epi8(seen) != 0;
#else
    uint64_t seen = 0;
    for (; n - i >= 8; i += 8)
        seen |= unmask_8(dst + i, src + i, key);
    if (i < n)
        seen |= unmask_8(dst + n - 8, src + n - 8, turn_key(key, n - 8));
    return (seen & HIGH_BITS) != 0;
#endif
}

static inline const unsigned char *
skip_ascii(const unsigned char *p, const unsigned char *end)
{
#ifdef __SSE2__
    while (end - p >= 16) {
        const int mask = _mm_movemask_epi8(_mm_loadu_si128((const __m128i *)p));
        if (mask != 0)
            return p + __builtin_ctz((unsigned int)mask);
        p += 16;
    }
#else
    while (end - p >= 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        if (word & HIGH_BITS)
            break;
        p += 8;
    }
#endif
    while (p < end && *p < 0x80)
        p++;
    return p;
}

/* Where a character is cut: `need` bytes are to come, the next one in [low, high]. All zero at the start. */
typedef struct {
    unsigned char need, low, high;
} utf8_state;

/* What has to follow a byte that begins a character of several bytes; need 0: it begins none. */
static inline utf8_state
utf8_begin(unsigned char c)
{
    utf8_state state = {0, 0x80, 0xbf};
    if (c < 0xc2 || c > 0xf4)
        return state;
    state.need = c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
    if (c == 0xe0)
        state.low = 0xa0;
    else if (c == 0xed)
        state.high = 0x9f;
    else if (c == 0xf0)
        state.low = 0x90;
    else if (c == 0xf4)
        state.high = 0x8f;
    return state;
}

/* False: what was fed until now cannot be the beginning of any UTF-8. */
static inline int
utf8_feed(utf8_state *kept, const unsigned char *p, size_t n)
{
    const unsigned char *const end = p + n;
    utf8_state state = *kept;
    while (p < end) {
        if (state.need == 0) {
            if (*p < 0x80) {
                p = skip_ascii(p, end);
                continue;
            }
            state = utf8_begin(*p);
            if (state.need == 0)
                return 0;
        }
        else {
            if (*p < state.low || *p > state.high)
                return 0;
            state.need--;
            state.low = 0x80;
            state.high = 0xbf;
        }
        p++;
    }
    *kept = state;
    return 1;
}

#endif

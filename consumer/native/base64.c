/* Base64 in its standard alphabet, padded. */
#include "native.h"

#if USE_VECTORS && defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

/* Indexed by character: one more than its six bits, 0 where it has none. */
static const byte places[256] = {
    ['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6, ['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10,
    ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18, ['S'] = 19,
    ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24, ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28,
    ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37,
    ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46,
    ['u'] = 47, ['v'] = 48, ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55,
    ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* Its six bits; 255 where it has none. */
static inline byte sextet(byte character) { return (byte)(places[character] - 1); }

#if USE_VECTORS && defined(__x86_64__)
/* 32 characters to 24 bytes at a time, after W. Muła and D. Lemire, "Faster Base64 Encoding and Decoding Using AVX2
 * Instructions" (2018). Stops before the first block that holds something else; returns how many it has decoded. */
__attribute__((target("avx2"))) static uint64_t decode_blocks(const byte *text, uint64_t size, byte *out) {
    /* A character is valid if the tables for its low and for its high half have no bit in common. */
    const __m256i low_half = _mm256_setr_epi8(0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x13, 0x1A,
                                              0x1B, 0x1B, 0x1B, 0x1A, 0x15, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11, 0x11,
                                              0x11, 0x11, 0x13, 0x1A, 0x1B, 0x1B, 0x1B, 0x1A);
    const __m256i high_half = _mm256_setr_epi8(0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08, 0x10, 0x10, 0x10, 0x10,
                                               0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x01, 0x02, 0x04, 0x08, 0x04, 0x08,
                                               0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10, 0x10);
    /* What to add to a character of each row of the ASCII table to get its six bits; '/' has a row of its own. */
    const __m256i shifts =
        _mm256_setr_epi8(0, 16, 19, 4, -65, -65, -71, -71, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 19, 4, -65, -65, -71, -71, 0, 0,
                         0, 0, 0, 0, 0, 0);
    const __m256i gather = _mm256_setr_epi8(2, 1, 0, 6, 5, 4, 10, 9, 8, 14, 13, 12, -1, -1, -1, -1, 2, 1, 0, 6, 5, 4, 10,
                                            9, 8, 14, 13, 12, -1, -1, -1, -1);
    const __m256i slash = _mm256_set1_epi8('/');
    uint64_t done = 0;
    for (; done + 32 <= size; done += 32, out += 24) {
        __m256i some = _mm256_loadu_si256((const __m256i *)(const void *)(text + done));
        __m256i high = _mm256_and_si256(_mm256_srli_epi32(some, 4), slash);
        __m256i low = _mm256_and_si256(some, slash);
        __m256i is_bad = _mm256_and_si256(_mm256_shuffle_epi8(low_half, low), _mm256_shuffle_epi8(high_half, high));
        if (!_mm256_testz_si256(is_bad, is_bad)) break;
        __m256i row = _mm256_add_epi8(_mm256_cmpeq_epi8(some, slash), high);
        __m256i values = _mm256_add_epi8(some, _mm256_shuffle_epi8(shifts, row));
        __m256i pairs = _mm256_maddubs_epi16(values, _mm256_set1_epi32(0x01400140));
        __m256i quads = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x00011000));
        __m256i packed = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(quads, gather),
                                                     _mm256_setr_epi32(0, 1, 2, 4, 5, 6, 7, 7));
        _mm256_storeu_si256((__m256i *)(void *)out, packed);
    }
    return done;
}

static int has_avx2;

/* Runs when the library is loaded. Not __builtin_cpu_supports: compiled by zig it says no to everything. */
__attribute__((constructor)) static void look_at_processor(void) {
    unsigned a, b, c, d, saved, more;
    const unsigned vectors_are_saved = 1u << 27 | 1u << 28; /* OSXSAVE and AVX: the system may save them, */
    if (!__get_cpuid(1, &a, &b, &c, &d) || (c & vectors_are_saved) != vectors_are_saved) return;
    __asm__ volatile("xgetbv" : "=a"(saved), "=d"(more) : "c"(0));
    if ((saved & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return; /* and it does */
    has_avx2 = b >> 5 & 1;
}
#else
static uint64_t decode_blocks(const byte *text, uint64_t size, byte *out) {
    (void)text, (void)size, (void)out;
    return 0;
}

enum { has_avx2 = 0 };
#endif

int64_t base64_decode(const byte *text, uint64_t size, byte *out) {
    if (size % 4) return -1;
    if (!size) return 0;
    const byte *end = text + size;
    byte *start = out;
    if (has_avx2) {
        uint64_t done = decode_blocks(text, size, out);
        text += done;
        out += done / 4 * 3;
        if (text == end) return out - start;
    }
    for (; text < end - 4; text += 4, out += 3) {
        byte a = sextet(text[0]), b = sextet(text[1]), c = sextet(text[2]), d = sextet(text[3]);
        if ((a | b | c | d) > 63) return -1;
        out[0] = (byte)(a << 2 | b >> 4);
        out[1] = (byte)(b << 4 | c >> 2);
        out[2] = (byte)(c << 6 | d);
    }
    int padding = (text[3] == '=') + (text[3] == '=' && text[2] == '=');
    byte a = sextet(text[0]), b = sextet(text[1]);
    byte c = padding < 2 ? sextet(text[2]) : 0, d = padding < 1 ? sextet(text[3]) : 0;
    if ((a | b | c | d) > 63) return -1;
    out[0] = (byte)(a << 2 | b >> 4);
    out[1] = (byte)(b << 4 | c >> 2);
    out[2] = (byte)(c << 6 | d);
    return out + 3 - padding - start;
}

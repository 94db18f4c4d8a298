/* JSON as RFC 8259 has it, on one line, without building anything.
 *
 * Left to judge.c as unsure: raw line ends between tokens, whatever is beyond SURE_DEPTH and its like, and escapes that are
 * half of a surrogate pair.
 */
#include "native.h"

/* Past one UTF-8 sequence of two bytes or more; NULL where it is none. */
static const byte *utf8_sequence(const byte *place) {
    byte first = place[0];
    if (first < 0xC2) return NULL;
    if (first < 0xE0) return (place[1] & 0xC0) == 0x80 ? place + 2 : NULL;
    if ((place[1] & 0xC0) != 0x80) return NULL;
    if (first < 0xF0) {
        if (first == 0xE0 && place[1] < 0xA0) return NULL; /* overlong */
        if (first == 0xED && place[1] > 0x9F) return NULL; /* surrogate */
        return (place[2] & 0xC0) == 0x80 ? place + 3 : NULL;
    }
    if (first > 0xF4) return NULL;
    if (first == 0xF0 && place[1] < 0x90) return NULL;
    if (first == 0xF4 && place[1] > 0x8F) return NULL;
    return (place[2] & 0xC0) == 0x80 && (place[3] & 0xC0) == 0x80 ? place + 4 : NULL;
}

static inline int is_hex(byte character) {
    byte letter = character | 0x20;
    return (character >= '0' && character <= '9') || (letter >= 'a' && letter <= 'f');
}

static int is_second_half(const byte *place) {
    return place[0] == '\\' && place[1] == 'u' && (place[2] | 0x20) == 'd' && is_hex(place[3]) &&
           (place[3] | 0x20) >= 'c' && is_hex(place[4]) && is_hex(place[5]);
}

/* `place` is behind the backslash. */
static const byte *escape(const byte *place, int *has_escape) {
    switch (*place) {
    case '"': case '\\': case '/': case 'b': case 'f': case 'n': case 'r': case 't':
        return place + 1;
    case 'u':
        for (int digit = 1; digit <= 4; digit++)
            if (!is_hex(place[digit])) return NULL;
        /* d800 to dfff make sense in pairs only, one below dc00 before one that is not */
        if ((place[1] | 0x20) == 'd' && place[2] >= '8') {
            if ((place[2] | 0x20) < 'c' && is_second_half(place + 5)) return place + 11;
            *has_escape |= HALF_A_PAIR;
        }
        return place + 5;
    default:
        return NULL;
    }
}

/* To the first byte that is a quote, a backslash, a control character or not ASCII. */
static inline const byte *plain_characters(const byte *place, const byte *limit) {
#if USE_VECTORS
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), space = _mm_set1_epi8(0x20);
    while (LIKELY(limit - place >= 16)) {
        __m128i some = _mm_loadu_si128((const __m128i *)(const void *)place);
        /* signed, so bytes that are not ASCII are below a space, too */
        __m128i found = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(some, quote), _mm_cmpeq_epi8(some, backslash)), _mm_cmplt_epi8(some, space));
        unsigned mask = (unsigned)_mm_movemask_epi8(found);
        if (LIKELY(mask)) return place + __builtin_ctz(mask);
        place += 16;
    }
#else
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    while (LIKELY(limit - place >= 8)) {
        uint64_t some;
        memcpy(&some, place, 8);
        uint64_t quote = some ^ (ones * '"'), backslash = some ^ (ones * '\\');
        uint64_t found = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash) | (some - ones * 0x20) | some;
        if (found & highs) break;
        place += 8;
    }
#endif
    while (*place != '"' && *place != '\\' && *place >= 0x20 && *place < 0x80) place++;
    return place;
}

/* `place` is behind the opening quote; what is returned is behind the closing one. */
const byte *json_string(const byte *place, const byte *limit, int *has_escape, int *is_ascii) {
    for (;;) {
        place = plain_characters(place, limit);
        if (LIKELY(*place == '"')) return place + 1;
        if (*place == '\\') {
            *has_escape |= AN_ESCAPE;
            place = escape(place + 1, has_escape);
        } else if (*place >= 0x80) {
            *is_ascii = 0;
            place = utf8_sequence(place);
        } else {
            return NULL;
        }
        if (!place) return NULL;
    }
}

static const byte *digits(const byte *place) {
    if (!is_digit(*place)) return NULL;
    while (is_digit(*place)) place++;
    return place;
}

static const byte *number(const byte *place) {
    const byte *begin = place;
    if (*place == '-') place++;
    if (*place == '0') {
        place++;
    } else if (!(place = digits(place))) {
        return NULL;
    }
    if (*place == '.' && !(place = digits(place + 1))) return NULL;
    if ((*place | 0x20) == 'e') {
        place++;
        if (*place == '+' || *place == '-') place++;
        const byte *exponent = place;
        place = digits(place);
        if (place && place - exponent > SURE_EXPONENT_DIGITS) return NULL;
    }
    return place && place - begin <= SURE_DIGITS ? place : NULL;
}

static const byte *word(const byte *place, const char *expected) {
    for (; *expected; place++, expected++)
        if (*place != (byte)*expected) return NULL;
    return place;
}

const byte *json_value(const byte *place, const byte *limit) {
    uint64_t is_object = 0; /* a bit for each level, the innermost lowest */
    int depth = 0, has_escape = 0, is_ascii = 1;

value:
    place = json_space(place);
    /* most values are these, and a branch of their own is guessed better than a jump for all */
    if (*place == '"') {
        place = json_string(place + 1, limit, &has_escape, &is_ascii);
        if (UNLIKELY(!place)) return NULL;
        goto after;
    }
    if (is_digit(*place)) {
        place = number(place);
        if (UNLIKELY(!place)) return NULL;
        goto after;
    }
    switch (*place) {
    case '{':
        if (depth++ == SURE_DEPTH) return NULL;
        is_object = is_object << 1 | 1;
        place = json_space(place + 1);
        if (*place == '}') goto close;
        goto member;
    case '[':
        if (depth++ == SURE_DEPTH) return NULL;
        is_object <<= 1;
        place = json_space(place + 1);
        if (*place == ']') goto close;
        goto value;
    case 't':
        place = word(place + 1, "rue");
        break;
    case 'f':
        place = word(place + 1, "alse");
        break;
    case 'n':
        place = word(place + 1, "ull");
        break;
    default:
        place = number(place);
    }
    if (UNLIKELY(!place)) return NULL;

after:
    if (!depth) return has_escape & HALF_A_PAIR ? NULL : place;
    place = json_space(place);
    if (*place == ',') {
        place = json_space(place + 1);
        if (is_object & 1) goto member;
        goto value;
    }
    if (*place == ((is_object & 1) ? '}' : ']')) goto close;
    return NULL;

member:
    if (*place != '"') return NULL;
    place = json_name(place + 1, limit, &has_escape);
    if (UNLIKELY(!place)) return NULL;
    place = json_space(place);
    if (*place != ':') return NULL;
    place++;
    goto value;

close:
    place++;
    is_object >>= 1;
    depth--;
    goto after;
}

/* The number of leading records whose payloads surely are one JSON value on one line; `text` as in record_columns. */
EXPORT uint64_t json_lines(const byte *text, uint64_t text_bytes, const uint32_t *sizes, uint64_t count) {
    const byte *limit = text + text_bytes;
    for (uint64_t index = 0; index < count; index++) {
        /* sizes that go beyond the text are a caller's mistake, which must not become a read beyond it */
        if (UNLIKELY(sizes[index] >= (uint64_t)(limit - text))) return index;
        const byte *end = text + sizes[index];
        const byte *place = json_value(text, limit);
        if (UNLIKELY(!place)) return index;
        if (UNLIKELY(json_space(place) != end)) return index;
        text = end + 1;
    }
    return count;
}

/* Whether a payload is one JSON value within limits: the rule of sinks/json/rule.py, to the byte of the fault.
 *
 * json_value of json.c takes most payloads at first sight; this has the last word about the others.
 */
#include "native.h"

/* Past the longest number that begins here; NULL where none does. */
static const byte *whole_number(const byte *place) {
    if (*place == '-') place++;
    if (!is_digit(*place)) return NULL;
    if (*place++ != '0')
        while (is_digit(*place)) place++;
    if (*place == '.' && is_digit(place[1])) {
        place += 2;
        while (is_digit(*place)) place++;
    }
    if ((*place | 0x20) == 'e') {
        const byte *exponent = place + 1;
        if (*exponent == '+' || *exponent == '-') exponent++;
        if (is_digit(*exponent)) {
            place = exponent + 1;
            while (is_digit(*place)) place++;
        }
    }
    return place;
}

/* The first digits of the least number that double precision rounds to infinity, and its order of magnitude. */
#define LARGEST_DOUBLE UINT64_C(1797693134862315807)
enum { LARGEST_ORDER = 308, FIRST_DIGITS = 19, EXPONENT_DIGITS = 9 };

static int is_beyond_doubles(const byte *place, const byte *end) {
    if (*place == '-') place++;
    int64_t whole_digits = 0, zeros = 0, power = 0;
    uint64_t first = 0;
    int significant = 0, is_whole = 1;
    for (; place < end && (*place | 0x20) != 'e'; place++) {
        if (*place == '.') {
            is_whole = 0;
            continue;
        }
        whole_digits += is_whole;
        if (!significant && *place == '0') {
            zeros++;
        } else if (significant < FIRST_DIGITS) {
            first = first * 10 + (uint64_t)(*place - '0');
            significant++;
        }
    }
    if (!significant) return 0;
    for (; significant < FIRST_DIGITS; significant++) first *= 10;
    if (place < end) {
        int is_negative = *++place == '-', digits = 0;
        if (*place == '-' || *place == '+') place++;
        while (place < end && *place == '0') place++;
        for (; place < end && digits <= EXPONENT_DIGITS; place++, digits++) power = power * 10 + (*place - '0');
        if (digits > EXPONENT_DIGITS) power = 1000000000;
        if (is_negative) power = -power;
    }
    int64_t order = whole_digits - 1 - zeros + power;
    return order > LARGEST_ORDER || (order == LARGEST_ORDER && first >= LARGEST_DOUBLE);
}

static inline void set_level(byte *levels, uint64_t level, int is_object) {
    byte bit = (byte)(1u << level % 8);
    levels[level / 8] = (byte)(is_object ? levels[level / 8] | bit : levels[level / 8] & ~bit);
}

static inline int is_object_level(const byte *levels, uint64_t level) { return levels[level / 8] >> level % 8 & 1; }

static const byte *same_word(const byte *place, const char *expected) {
    for (; *expected; place++, expected++)
        if (*place != (byte)*expected) return NULL;
    return place;
}

/* Past a text of `size_limit` bytes at most; the verdict about it is in `found`. */
static const byte *judged_text(const byte *place, const byte *limit, const json_limits *limits, uint64_t most_bytes,
                               json_verdict *found) {
    int has_escape = 0, is_ascii = 1;
    const byte *end = json_string(place + 1, limit, &has_escape, &is_ascii);
    if (!end)
        *found = NOT_JSON;
    else if (limits->unicode_only && (has_escape & HALF_A_PAIR))
        *found = NOT_UNICODE;
    else if ((uint64_t)(end - place) - 2 > most_bytes)
        *found = LONG_NAME;
    return end;
}

/* `text[size]` can be read and is below a space. `levels` has a bit for each level, max_depth / 8 + 1 bytes. Where the
 * verdict is not FINE, `offset` is that of the token that is at fault. */
EXPORT int judge_json(const byte *text, uint64_t size, const json_limits *limits, byte *levels, uint64_t *offset) {
    const byte *end = text + size, *limit = end + 1, *place = text, *behind;
    uint64_t depth = 0;
    json_verdict found = FINE;

value:
    place = any_space(place, end);
    switch (*place) {
    case '"':
        behind = judged_text(place, limit, limits, UINT64_MAX, &found);
        if (found) goto fault;
        break;
    case '{':
    case '[':
        if (depth == limits->max_depth) {
            found = TOO_DEEP;
            goto fault;
        }
        set_level(levels, depth++, *place == '{');
        behind = any_space(place + 1, end);
        if (*behind == (*place == '{' ? '}' : ']')) {
            depth--;
            behind++;
            break;
        }
        place++;
        if (is_object_level(levels, depth - 1)) goto name;
        goto value;
    case 't':
        behind = same_word(place, "true");
        break;
    case 'f':
        behind = same_word(place, "false");
        break;
    case 'n':
        behind = same_word(place, "null");
        break;
    default:
        behind = whole_number(place);
        if (behind && limits->doubles_only && is_beyond_doubles(place, behind)) {
            found = BAD_NUMBER;
            goto fault;
        }
    }
    if (!behind) goto no_json;
    place = behind;

after:
    place = any_space(place, end);
    if (!depth) {
        if (place == end) return FINE;
        goto no_json;
    }
    if (*place == ',') {
        place++;
        if (is_object_level(levels, depth - 1)) goto name;
        goto value;
    }
    if (*place != (is_object_level(levels, depth - 1) ? '}' : ']')) goto no_json;
    depth--;
    place++;
    goto after;

name:
    place = any_space(place, end);
    if (*place != '"') goto no_json;
    behind = judged_text(place, limit, limits, limits->max_name_bytes, &found);
    if (found) goto fault;
    place = any_space(behind, end);
    if (*place++ != ':') {
        place--;
        goto no_json;
    }
    goto value;

no_json:
    found = NOT_JSON;
fault:
    *offset = (uint64_t)(place - text);
    return found;
}

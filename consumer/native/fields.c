/* The members of records that decide where they go: the rule of sinks/json/fields.py. */
#include "native.h"

/* Offsets in the payload; a size of 0 where there is no such member. A text has its quotes. */
typedef struct {
    uint32_t verdict, offset;
    uint32_t key_begin, key_size, time_begin, time_size;
} record_fields;

/* Whether a name, as it stands between its quotes, is this one without its escapes. */
static int is_spelled(const byte *at, uint64_t size, span name) {
    const byte *end = at + size, *expected = name.begin, *last = name.begin + name.size;
    while (at < end) {
        byte spelled[4];
        uint64_t bytes = 1;
        if (*at != '\\') {
            spelled[0] = *at++;
        } else if (at[1] != 'u') {
            static const byte letters[] = "bfnrt", meant[] = "\b\f\n\r\t";
            const byte *letter = memchr(letters, at[1], sizeof letters - 1);
            spelled[0] = letter ? meant[letter - letters] : at[1];
            at += 2;
        } else {
            uint32_t value = code_point(at + 2);
            at += 6;
            if (value >= 0xD800 && value < 0xDC00 && at < end && at[0] == '\\' && at[1] == 'u') {
                uint32_t second = code_point(at + 2);
                if (second >= 0xDC00 && second < 0xE000) {
                    value = 0x10000 + ((value - 0xD800) << 10) + (second - 0xDC00);
                    at += 6;
                }
            }
            bytes = (uint64_t)(put_code_point(spelled, value) - spelled);
        }
        if ((uint64_t)(last - expected) < bytes || memcmp(spelled, expected, bytes)) return 0;
        expected += bytes;
    }
    return expected == last;
}

/* Past a text, of a payload that is fine. */
static const byte *past_text(const byte *place, const byte *limit) {
    int has_escape = 0, is_ascii = 1;
    return json_string(place + 1, limit, &has_escape, &is_ascii);
}

const byte *past_judged_value(const byte *place, const byte *end) {
    uint64_t depth = 0;
    if (*place == '"') return past_text(place, end + 1);
    if (*place != '{' && *place != '[') {
        while (place < end && *place > ' ' && *place != ',' && *place != '}' && *place != ']') place++;
        return place;
    }
    while (place && place < end) {
        if (*place == '"') {
            place = past_text(place, end + 1);
            continue;
        }
        depth += *place == '{' || *place == '[';
        depth -= *place == '}' || *place == ']';
        place++;
        if (!depth) return place;
    }
    return NULL;
}

/* Of a payload that is fine. */
static void find_fields(const byte *text, uint64_t size, const row_rules *rules, record_fields *found) {
    const byte *end = text + size, *place = any_space(text, end);
    if (*place != '{') {
        found->verdict = NOT_AN_OBJECT;
        return;
    }
    place = any_space(place + 1, end);
    while (*place != '}') {
        const byte *name = place, *behind = past_text(place, end + 1);
        uint64_t name_size = (uint64_t)(behind - name) - 2;
        const byte *value = any_space(any_space(behind, end) + 1, end);
        place = past_judged_value(value, end);
        int is_key = is_spelled(name + 1, name_size, rules->key_name);
        int is_time = !is_key && is_spelled(name + 1, name_size, rules->time_name);
        if (is_key || is_time) {
            uint32_t *value_size = is_key ? &found->key_size : &found->time_size;
            if (*value_size) {
                found->verdict = REPEATED_FIELD;
                found->offset = (uint32_t)(name - text);
                return;
            }
            *value_size = (uint32_t)(place - value);
            *(is_key ? &found->key_begin : &found->time_begin) = (uint32_t)(value - text);
        }
        place = any_space(place, end);
        if (*place == ',') place = any_space(place + 1, end);
    }
}

static void put_member(const byte *text, const member *found, uint32_t *begin, uint32_t *size) {
    *begin = (uint32_t)(found->value.begin - text) - (uint32_t)found->is_text;
    *size = (uint32_t)found->value.size + 2 * (uint32_t)found->is_text;
}

/* What there is to know of each of some payloads, which stand in `text` with a line end after each. */
EXPORT void read_fields(const row_rules *rules, const json_limits *limits, byte *levels, const byte *text,
                        uint64_t text_bytes, const uint32_t *sizes, uint64_t count, record_fields *found) {
    const byte *limit = text + text_bytes;
    for (uint64_t index = 0; index < count; index++, found++) {
        const byte *end = text + sizes[index];
        member key = {0}, time = {0};
        *found = (record_fields){0};
        if (LIKELY(read_members(text, end, limit, rules, &key, &time))) {
            if (key.is_there) put_member(text, &key, &found->key_begin, &found->key_size);
            if (time.is_there) put_member(text, &time, &found->time_begin, &found->time_size);
        } else {
            uint64_t offset = 0;
            found->verdict = (uint32_t)judge_json(text, sizes[index], limits, levels, &offset);
            found->offset = (uint32_t)offset;
            if (found->verdict == FINE) find_fields(text, sizes[index], rules, found);
        }
        text = end + 1;
    }
}

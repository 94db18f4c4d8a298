/* Rows of BigQuery's insertAll, written straight into the bodies of their tables' requests. */
#include "native.h"

/* A body that is being filled: `size` of `capacity` bytes. `indices` are those of its records in the chunk. */
typedef struct {
    byte *body;
    uint64_t size, capacity;
    uint32_t *indices;
    uint64_t rows, billed_bytes;
} table_body;

/* Where a call goes on. */
typedef struct {
    uint64_t index, text_offset, label_offset;
    uint64_t unsure; /* how many indices are in the list of those */
    uint64_t table, bytes;
} row_cursor;

typedef enum { DONE = 0, BODY_IS_FULL = 1, BODY_NEEDS_BYTES = 2, OTHER_DAY = 3 } row_result;

static inline byte *put(byte *out, const byte *from, uint64_t size) {
    memcpy(out, from, size);
    return out + size;
}

static byte *put_number(byte *out, uint64_t value) {
    byte digits[20];
    int count = 0;
    do digits[count++] = (byte)('0' + value % 10);
    while (value /= 10);
    while (count) *out++ = digits[--count];
    return out;
}

static byte *put_digits(byte *out, uint64_t value, int count) {
    for (int place = count - 1; place >= 0; place--, value /= 10) out[place] = (byte)('0' + value % 10);
    return out + count;
}

/* Milliseconds since 1970 as `2001-02-03T04:05:06.007Z`, for years of four digits. */
static byte *put_time(byte *out, int64_t time_ms) {
    int64_t day = time_ms / DAY_MS, rest = time_ms % DAY_MS;
    /* A year that begins in March has its leap day at the end; 400 of these have 146,097 days. */
    int64_t since = day + 719468, era = since / 146097, day_of_era = since % 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month = (5 * day_of_year + 2) / 153, day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    month += month < 10 ? 3 : -9;
    int64_t year = era * 400 + year_of_era + (month <= 2);
    out = put_digits(out, (uint64_t)year, 4), *out++ = '-';
    out = put_digits(out, (uint64_t)month, 2), *out++ = '-';
    out = put_digits(out, (uint64_t)day_of_month, 2), *out++ = 'T';
    out = put_digits(out, (uint64_t)(rest / 3600000), 2), *out++ = ':';
    out = put_digits(out, (uint64_t)(rest / 60000 % 60), 2), *out++ = ':';
    out = put_digits(out, (uint64_t)(rest / 1000 % 60), 2), *out++ = '.';
    out = put_digits(out, (uint64_t)(rest % 1000), 3), *out++ = 'Z';
    return out;
}
enum { TIME_SIZE = 24, BESIDE_SIZE = 1 + 1 + 20 + 4 }; /* comma, hyphen, sub-sequence number, quotes or null */

int number_of(const byte *text, int count) {
    int value = 0;
    for (; count; count--, text++) {
        if ((byte)(*text - '0') > 9) return -1;
        value = value * 10 + (*text - '0');
    }
    return value;
}

int is_own_time(span text, const row_rules *rules) {
    const byte *at = text.begin;
    if (text.size != 20 && text.size != 24) return 0;
    if (at[4] != '-' || at[7] != '-' || at[10] != 'T' || at[13] != ':' || at[16] != ':') return 0;
    if (at[text.size - 1] != 'Z') return 0;
    if (text.size == 24 && (at[19] != '.' || number_of(at + 20, 3) < 0)) return 0;
    int year = number_of(at, 4), month = number_of(at + 5, 2), day = number_of(at + 8, 2);
    int hour = number_of(at + 11, 2), minute = number_of(at + 14, 2), second = number_of(at + 17, 2);
    if (!is_day(year, month, day)) return 0;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return 0;
    return memcmp(at, rules->oldest_day, 10) >= 0 && memcmp(at, rules->newest_day, 10) <= 0;
}

static const byte *member_value(const byte *place, const byte *limit, member *found) {
    int has_escape = 0, is_ascii = 1;
    place = json_space(place);
    if (found->is_there) return NULL; /* the last one of a name counts: Python finds it */
    found->is_there = 1;
    const byte *begin = place;
    if (*place != '"') {
        place = json_value(place, limit);
        if (!place) return NULL;
        found->value = (span){begin, (uint64_t)(place - begin)};
        return place;
    }
    place = json_string(place + 1, limit, &has_escape, &is_ascii);
    if (!place || has_escape) return NULL;
    found->value = (span){begin + 1, (uint64_t)(place - begin) - 2};
    found->is_text = 1;
    found->is_ascii = is_ascii;
    return place;
}

static inline int is_same(const byte *begin, uint64_t size, span name) {
    /* names of one length are common: `player_id`, `field_017` */
    return size == name.size && *begin == *name.begin && !memcmp(begin, name.begin, size);
}

/* As json_value, with the usual ones looked at here. */
static inline const byte *other_value(const byte *place, const byte *limit) {
    int has_escape = 0, is_ascii = 1;
    place = json_space(place);
    const byte *behind = plain_number(place);
    if (LIKELY(behind)) return behind;
    if (*place != '"') return json_value(place, limit);
    place = json_string(place + 1, limit, &has_escape, &is_ascii);
    return has_escape & HALF_A_PAIR ? NULL : place;
}

int read_members(const byte *place, const byte *end, const byte *limit, const row_rules *rules, member *key,
                 member *time) {
    place = json_space(place);
    if (*place != '{') return 0;
    place = json_space(place + 1);
    if (*place == '}') return json_space(place + 1) == end;
    for (;;) {
        int has_escape = 0;
        const byte *name = place + 1;
        if (*place != '"') return 0;
        place = json_name(name, limit, &has_escape);
        if (!place || has_escape) return 0;
        uint64_t size = (uint64_t)(place - name) - 1;
        place = json_space(place);
        if (*place++ != ':') return 0;
        if (is_same(name, size, rules->key_name))
            place = member_value(place, limit, key);
        else if (is_same(name, size, rules->time_name))
            place = member_value(place, limit, time);
        else
            place = other_value(place, limit);
        if (!place) return 0;
        place = json_space(place);
        if (*place == '}') return json_space(place + 1) == end;
        if (*place++ != ',') return 0;
        place = json_space(place);
    }
}

/* Whether it stands in a JSON text as it is, whoever wrote it. */
static int is_number(const byte *text, uint64_t size) {
    byte others = 0;
    for (uint64_t place = 0; place < size; place++) others |= (byte)(text[place] - '0') > 9;
    return !others;
}

int64_t table_of(const member *key, uint64_t digits) {
    uint64_t table = 0;
    if (!is_missing(key) && (!key->is_text || !key->is_ascii)) return -1;
    if (digits && (is_missing(key) || key->value.size < digits)) return -1;
    for (uint64_t place = 0; place < digits; place++) {
        byte character = key->value.begin[place], letter = character | 0x20;
        if (character >= '0' && character <= '9')
            table = table * 16 + (uint64_t)(character - '0');
        else if (letter >= 'a' && letter <= 'f')
            table = table * 16 + (uint64_t)(letter - 'a' + 10);
        else
            return -1;
    }
    return (int64_t)table;
}

/* JSON on one line as the inside of a JSON text. It holds no control characters but tabs. `limit` as in json.c; writes
 * up to 32 bytes beyond. */
static byte *put_escaped(byte *out, const byte *from, const byte *end, const byte *limit) {
#if USE_VECTORS
    const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\'), tab = _mm_set1_epi8('\t');
    /* The last of what is copied begins at 32 at most, and has 32 bytes. */
    while (end - from >= 32 && limit - from >= 64) {
        __m128i first = _mm_loadu_si128((const __m128i *)(const void *)from);
        __m128i second = _mm_loadu_si128((const __m128i *)(const void *)(from + 16));
        __m128i in_first = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(first, quote), _mm_cmpeq_epi8(first, backslash)),
                                        _mm_cmpeq_epi8(first, tab));
        __m128i in_second = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(second, quote), _mm_cmpeq_epi8(second, backslash)),
                                         _mm_cmpeq_epi8(second, tab));
        uint32_t mask = (uint32_t)_mm_movemask_epi8(in_first) | (uint32_t)_mm_movemask_epi8(in_second) << 16;
        const byte *start = from;
        from += 32;
        /* What lies between two of them, and the first of them with it, is copied as a whole vector or two. */
        unsigned done = 0;
        for (; mask; mask &= mask - 1) {
            unsigned place = (unsigned)__builtin_ctz(mask);
            memcpy(out, start + done, 16);
            if (UNLIKELY(place - done > 16)) memcpy(out + 16, start + done + 16, 16);
            out += place - done;
            *out++ = '\\';
            done = place;
            if (UNLIKELY(start[place] == '\t')) {
                *out++ = 't';
                done++;
            }
        }
        memcpy(out, start + done, 16);
        memcpy(out + 16, start + done + 16, 16);
        out += 32 - done;
    }
#else
    (void)limit;
#endif
    for (; from < end; from++) {
        if (*from == '"' || *from == '\\' || *from == '\t') *out++ = '\\';
        *out++ = *from == '\t' ? 't' : *from;
    }
    return out;
}

/* Writes the rows of `count` records, from where `cursor` stands, into the bodies of `tables`. Records that it is not
 * sure of get no row: their indices, which begin at `first_index`, are put into `unsure`.
 *
 * DONE: all of them. BODY_IS_FULL: the table `cursor->table` takes no more. BODY_NEEDS_BYTES: it may do so with so many
 * bytes of room. OTHER_DAY: the next record arrived on another day than the one in the rules. In all of these cases
 * the cursor stands before a record that has no row yet. */
EXPORT int write_rows(const row_rules *rules, const record_columns *from, uint64_t first_index, table_body *tables,
                      uint32_t *unsure, row_cursor *cursor) {
    const byte *limit = from->text + from->text_bytes;
    for (; cursor->index < from->count; cursor->index++) {
        uint64_t index = cursor->index;
        const byte *payload = from->text + cursor->text_offset;
        const byte *label = from->labels + cursor->label_offset;
        uint64_t size = from->sizes[index], key_size = from->key_sizes[index];
        uint64_t sequence_size = from->sequence_sizes[index];
        int64_t arrival = from->arrivals[index], table = -1;
        member key = {0}, time = {0};

        int is_usual = arrival >= 0 && arrival <= LAST_TIME_MS;
        /* of a larger one Python counts the members and the values in its columns */
        if (rules->is_whole && size > LEAST_MEMBER_BYTES * MOST_MEMBERS) is_usual = 0;
        if (is_usual && arrival / DAY_MS != rules->arrival_day) return OTHER_DAY;
        is_usual = is_usual && is_number(label + key_size, sequence_size);
        if (is_usual && read_members(payload, payload + size, limit, rules, &key, &time))
            table = table_of(&key, rules->key_digits);
        int has_time = !is_missing(&time);
        if (table >= 0 && has_time && !(time.is_text && is_own_time(time.value, rules))) table = -1;
        if (table >= 0 && !has_time && rules->is_whole) table = -1;
        if (table >= 0) {
            table_body *to = &tables[table];
            uint64_t needed = to->size + rules->head.size + sequence_size + BESIDE_SIZE + rules->middle.size +
                              key.value.size + rules->time_head.size + TIME_SIZE + rules->log_head.size + 2 * size +
                              rules->tail.size + SLACK;
            cursor->table = (uint64_t)table;
            if (to->rows == rules->max_rows) return BODY_IS_FULL;
            if (needed > to->capacity) {
                cursor->bytes = needed;
                return BODY_NEEDS_BYTES;
            }
            byte *out = to->body + to->size;
            if (to->rows) *out++ = ',';
            out = put(out, rules->head.begin, rules->head.size);
            out = put(out, label + key_size, sequence_size);
            *out++ = '-';
            out = put_number(out, from->sub_sequences[index]);
            out = put(out, rules->middle.begin, rules->middle.size);
            if (rules->is_whole) {
                out = put(out, payload, size);
            } else {
                if (is_missing(&key)) {
                    out = put(out, (const byte *)"null", 4);
                } else {
                    *out++ = '"';
                    out = put(out, key.value.begin, key.value.size);
                    *out++ = '"';
                }
                out = put(out, rules->time_head.begin, rules->time_head.size);
                out = has_time ? put(out, time.value.begin, time.value.size) : put_time(out, arrival);
                out = put(out, rules->log_head.begin, rules->log_head.size);
                out = put_escaped(out, payload, payload + size, limit);
            }
            out = put(out, rules->tail.begin, rules->tail.size);
            if ((uint64_t)(out - to->body) > rules->max_bytes) {
                if (to->rows) return BODY_IS_FULL;
                table = -1; /* too large for any request */
            } else {
                uint64_t billed = size + rules->billed_bytes_beside;
                if (!rules->is_whole && !is_missing(&key)) billed += key.value.size;
                to->billed_bytes += billed < rules->least_billed_bytes ? rules->least_billed_bytes : billed;
                to->size = (uint64_t)(out - to->body);
                to->indices[to->rows++] = (uint32_t)(first_index + index);
            }
        }
        if (table < 0) unsure[cursor->unsure++] = (uint32_t)(first_index + index);
        cursor->text_offset += size + 1;
        cursor->label_offset += key_size + sequence_size;
    }
    return DONE;
}

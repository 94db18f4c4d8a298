/* What records say, as columns: rows are found in the text of their chunk, and copied out of it when they are sent. */
#include "native.h"

/* `indices` are those of a list of records, in the chunk; they grow. `tables` are those that their keys choose. Sorted by
 * table the indices are put into `sorted`, with the sizes of their payloads and `bytes_beside` in `sizes`; `counts` says
 * how many each table has. `layouts` has room for the columns of each table, which must be zero, or is NULL. */
typedef struct {
    const uint32_t *indices;
    uint64_t count;
    uint8_t *tables;
    uint32_t *sorted;
    uint32_t *sizes;
    uint32_t *counts;
    uint64_t bytes_beside;
    typed_layout *layouts;
} row_choice;

/* Where a call goes on: at place `place` of the list, with record `index` of the part, whose payload begins at
 * `text_offset`. */
typedef struct {
    uint64_t place, index, text_offset;
} choice_cursor;

typedef struct {
    uint64_t key_bytes, log_bytes, missing_keys;
} column_sizes;

typedef enum { FOUND = 0, NOT_SURE = 1, ON_ANOTHER_DAY = 2 } found_result;

static const uint32_t NO_KEY = UINT32_MAX;
enum { MOST_DIGITS = 2, MOST_TABLES = 256 };

/* At least as many bytes as a member with a time takes beside its name. */
enum { TIME_MEMBER_SIZE = 64 };

/* What an object takes in a record beside its name and its members: a comma and braces. */
enum { OVERFLOW_SIZE = 3 };

/* Of a text that is_own_time has taken, since 1970. */
static int64_t micros_of(span text) {
    const byte *at = text.begin;
    int64_t days = days_since_1970(number_of(at, 4), number_of(at + 5, 2), number_of(at + 8, 2));
    int64_t seconds = number_of(at + 11, 2) * 3600 + number_of(at + 14, 2) * 60 + number_of(at + 17, 2);
    int64_t millis = text.size == 24 ? number_of(at + 20, 3) : 0;
    return ((days * 86400 + seconds) * 1000 + millis) * 1000;
}

/* Finds the rows of those records of the list that are in one part of the chunk, which begins with record `first`;
 * `schema` holds their columns, NULL where these are the key, the time and the whole record.
 *
 * NOT_SURE: of one of them, so nothing is known of any. ON_ANOTHER_DAY: the next record arrived on another day than the
 * one in the rules; the cursor stands before it. */
EXPORT int find_rows(const row_rules *rules, const row_schema *schema, const record_columns *from, uint64_t first,
                     row_choice *choice, row_places *found, choice_cursor *cursor) {
    typed_row row;
    const byte *limit = from->text + from->text_bytes;
    if (rules->key_digits > MOST_DIGITS) return NOT_SURE;
    for (; cursor->place < choice->count; cursor->place++) {
        uint64_t index = choice->indices[cursor->place];
        if (index >= first + from->count) break;
        uint64_t wanted = index - first;
        if (index < first || wanted < cursor->index) return NOT_SURE;
        for (; cursor->index < wanted; cursor->index++) cursor->text_offset += from->sizes[cursor->index] + 1u;
        const byte *payload = from->text + cursor->text_offset;
        uint64_t size = from->sizes[wanted];
        int64_t arrival = from->arrivals[wanted];
        member key = {0}, time = {0};

        if (arrival < 0 || arrival > LAST_TIME_MS || size > rules->max_bytes) return NOT_SURE;
        if (arrival / DAY_MS != rules->arrival_day) return ON_ANOTHER_DAY;
        const byte *end = payload + size;
        int64_t array_bytes = 0;
        if (schema) array_bytes = read_typed_row(payload, end, limit, 0, schema, rules, &key, &time, &row);
        else if (!read_members(payload, end, limit, rules, &key, &time)) return NOT_SURE;
        if (array_bytes == NO_ROW) return NOT_SURE;
        int64_t table = table_of(&key, rules->key_digits);
        if (table < 0) return NOT_SURE;
        int has_time = !is_missing(&time), has_key = !is_missing(&key);
        if (has_time && !(time.is_text && is_own_time(time.value, rules))) return NOT_SURE;
        /* a row of typed columns is as long as its record with the time that it gets, and the overflow column's name */
        uint64_t more = has_time ? 0 : TIME_MEMBER_SIZE + 6 * rules->time_name.size;
        if (schema && schema->overflow_column >= 0)
            more += schema->columns[schema->overflow_column].quoted.size + OVERFLOW_SIZE;
        if (schema && size + more > rules->max_bytes) return NOT_SURE;

        if (schema && choice->layouts) add_cells(schema, row.cells, choice->layouts + (uint64_t)table * schema->count);
        choice->tables[cursor->place] = (uint8_t)table;
        found->payloads[index] = payload;
        found->sizes[index] = (uint32_t)size;
        found->key_offsets[index] = has_key ? (uint32_t)(key.value.begin - payload) : NO_KEY;
        found->key_sizes[index] = has_key ? (uint32_t)key.value.size : 0;
        found->times_us[index] = has_time ? micros_of(time.value) : arrival * 1000;
        found->array_bytes[index] = (uint32_t)array_bytes;
    }
    return FOUND;
}

/* Once the rows of the whole list are found. */
EXPORT void sort_rows(row_choice *choice, const row_places *found) {
    uint32_t next[MOST_TABLES];
    memset(choice->counts, 0, MOST_TABLES * sizeof *choice->counts);
    for (uint64_t place = 0; place < choice->count; place++) choice->counts[choice->tables[place]]++;
    for (uint32_t table = 0, begin = 0; table < MOST_TABLES; begin += choice->counts[table++]) next[table] = begin;
    for (uint64_t place = 0; place < choice->count; place++) {
        uint32_t index = choice->indices[place], at = next[choice->tables[place]]++;
        choice->sorted[at] = index;
        choice->sizes[at] = found->sizes[index] + found->array_bytes[index] + (uint32_t)choice->bytes_beside;
    }
}

/* What the columns of these rows hold. */
EXPORT void measure_columns(const row_places *found, const uint32_t *indices, uint64_t count, column_sizes *sizes) {
    column_sizes sum = {0};
    for (uint64_t place = 0; place < count; place++) {
        uint32_t index = indices[place];
        sum.log_bytes += found->sizes[index];
        sum.key_bytes += found->key_sizes[index];
        sum.missing_keys += found->key_offsets[index] == NO_KEY;
    }
    *sizes = sum;
}

/* Buffers begin at multiples of this: https://arrow.apache.org/docs/format/Columnar.html#buffer-alignment-and-padding */
enum { ALIGNMENT = 8 };

static byte *padded(byte *begin, uint64_t size) {
    uint64_t rest = (ALIGNMENT - size % ALIGNMENT) % ALIGNMENT;
    memset(begin + size, 0, rest);
    return begin + size + rest;
}

/* The body of a record batch of these rows: keys (which of them there are, if any is missing; offsets; texts), times,
 * logs (offsets; texts). `sizes` are what measure_columns has said, none above INT32_MAX; `out` need not be aligned. */
EXPORT void write_columns(const row_places *found, const uint32_t *indices, uint64_t count, const column_sizes *sizes,
                          byte *out) {
    uint64_t offset_bytes = (count + 1) * sizeof(int32_t), bit_bytes = (count + 7) / 8;
    byte *bits = out;
    byte *key_offsets = sizes->missing_keys ? padded(bits, bit_bytes) : out;
    byte *keys = padded(key_offsets, offset_bytes);
    byte *times = padded(keys, sizes->key_bytes);
    byte *log_offsets = times + count * sizeof(int64_t);
    byte *logs = padded(log_offsets, offset_bytes);
    padded(logs, sizes->log_bytes);
    if (sizes->missing_keys) memset(bits, 0, bit_bytes);
    uint64_t key_end = 0, log_end = 0;
    for (uint64_t place = 0; place < count; place++) {
        uint32_t index = indices[place], size = found->sizes[index], key_size = found->key_sizes[index];
        put_offset(key_offsets, place, key_end);
        put_offset(log_offsets, place, log_end);
        memcpy(times + place * sizeof(int64_t), &found->times_us[index], sizeof(int64_t));
        memcpy(logs + log_end, found->payloads[index], size);
        if (found->key_offsets[index] != NO_KEY) {
            memcpy(keys + key_end, found->payloads[index] + found->key_offsets[index], key_size);
            if (sizes->missing_keys) bits[place / 8] = (byte)(bits[place / 8] | 1u << place % 8);
        }
        key_end += key_size;
        log_end += size;
    }
    put_offset(key_offsets, count, key_end);
    put_offset(log_offsets, count, log_end);
}

/* The time of each record in milliseconds since 1970: its own, which is its member `key_name` in BigQuery's notation, or
 * that of its arrival where it has no such member. Returns how many indices of records, which begin at `first`, it has put
 * into `unsure`: somebody else has to look at these. */
EXPORT uint64_t find_times(const row_rules *rules, const record_columns *from, uint64_t first, int64_t *times_ms,
                           uint32_t *unsure) {
    const byte *payload = from->text, *limit = from->text + from->text_bytes;
    uint64_t unsure_count = 0;
    for (uint64_t index = 0; index < from->count; index++) {
        member time = {0}, unused = {0};
        const byte *end = payload + from->sizes[index];
        times_ms[index] = from->arrivals[index];
        if (!read_members(payload, end, limit, rules, &time, &unused))
            unsure[unsure_count++] = (uint32_t)(first + index);
        else if (time.is_text && is_own_time(time.value, rules))
            times_ms[index] = micros_of(time.value) / 1000;
        else if (!is_missing(&time))
            unsure[unsure_count++] = (uint32_t)(first + index);
        payload = end + 1;
    }
    return unsure_count;
}

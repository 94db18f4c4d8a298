/* What the C files share, and the structures that library.py describes to ctypes.
 *
 * Nothing here allocates or knows Python, and no call leaves anything for the next: functions read one buffer and write
 * into others whose sizes they are told. Whatever they are not sure of they leave to Python, which decides about it;
 * "unsure" is never wrong.
 */
#ifndef CONSUMER_NATIVE_H
#define CONSUMER_NATIVE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* PORTABLE takes the plain C everywhere, to test it where there are vectors. */
#if defined(__SSE2__) && !defined(PORTABLE)
#define USE_VECTORS 1
#include <emmintrin.h>
#else
#define USE_VECTORS 0
#endif

#define EXPORT __attribute__((visibility("default")))
#define LIKELY(condition) __builtin_expect(!!(condition), 1)
#define UNLIKELY(condition) __builtin_expect(!!(condition), 0)

typedef uint8_t byte;

/* Bytes that may be written past the end of what is asked for, since whole vectors are stored. */
enum { SLACK = 64 };

typedef struct {
    const byte *begin;
    uint64_t size;
} span;

/* Records as domain/columns.py keeps them: payload i is followed by one line end in `text`, its partition key and its
 * sequence number stand in `labels`. Where each begins there, and where the last one ends, is told for what was parsed
 * only. */
typedef struct {
    byte *text;
    byte *labels;
    uint32_t *sizes;
    uint32_t *key_sizes;
    uint32_t *sequence_sizes;
    uint64_t *sub_sequences;
    int64_t *arrivals;
    uint64_t *text_begins;
    uint64_t *label_begins;
    uint64_t text_bytes;
    uint64_t label_bytes;
    uint64_t count;
} record_columns;

/* How much of a message has been read. */
typedef struct {
    uint64_t offset;
    int64_t millis_behind;
    int32_t stage, has_action, has_records, has_millis;
} message_progress;

/* json.c: `limit` is the end of the readable buffer; a line end stands somewhere before it, where scanning ends at the
 * latest. Each function returns where it has come to, or NULL where the text is not, or not surely, what it looks for. */
const byte *json_value(const byte *place, const byte *limit);
const byte *json_string(const byte *place, const byte *limit, int *has_escape, int *is_ascii);

static inline const byte *json_space(const byte *place) {
    while (UNLIKELY(*place <= ' ') && (*place == ' ' || *place == '\t')) place++;
    return place;
}

/* As json_string, for the name of a member. Most are short, and the same in every record, so that the processor guesses
 * where they end before a vector could tell. */
static inline const byte *json_name(const byte *place, const byte *limit, int *has_escape) {
    int is_ascii = 1;
    for (int left = 12; left; left--, place++) {
        if (*place == '"') return place + 1;
        if (UNLIKELY(*place == '\\' || (byte)(*place - 0x20) >= 0x60)) break;
    }
    return json_string(place, limit, has_escape, &is_ascii);
}

enum { DAY_MS = 86400000 };

/* Of the year 2199. Of much later times Python has no exact milliseconds: it makes seconds of them, as floats. */
#define LAST_TIME_MS INT64_C(7258118399999)

/* How a row is made. `middle` stands between a row's id and its first value, `log_head` between the time and the log;
 * with `is_whole` the payload itself follows `middle`, and neither key nor time is written. What is not insertAll looks
 * at the names, the digits, `max_bytes` and the days only. */
typedef struct {
    span key_name, time_name;
    span head, middle, time_head, log_head, tail;
    uint64_t key_digits;
    int64_t is_whole;
    uint64_t max_rows, max_bytes;
    uint64_t least_billed_bytes, billed_bytes_beside;
    /* The days that BigQuery takes rows for, seen from one day of arrival, as `2001-02-03`. */
    int64_t arrival_day;
    byte oldest_day[10], newest_day[10];
} row_rules;

/* A member of a record that rows are made of. `is_text` where the value is one without escapes, then without its
 * quotes. */
typedef struct {
    span value;
    int is_there, is_text, is_ascii;
} member;

static inline int is_missing(const member *found) {
    return !found->is_there || (!found->is_text && found->value.size == 4 && *found->value.begin == 'n');
}

/* rows.c: looks at every byte of a payload, which is one object, and ends at `end`. */
int read_members(const byte *place, const byte *end, const byte *limit, const row_rules *rules, member *key,
                 member *time);

/* The table that a key chooses; -1 where Python has to look. */
int64_t table_of(const member *key, uint64_t digits);

/* Whether a text is a time in BigQuery's own notation, with or without milliseconds, that it takes a row for. */
int is_own_time(span text, const row_rules *rules);

/* Of so many digits; -1 where there is another character among them. */
int number_of(const byte *text, int count);

/* base64.c: decodes `size` characters; returns the number of bytes written, -1 where they are no base64. Writes up to
 * SLACK bytes beyond them. */
int64_t base64_decode(const byte *text, uint64_t size, byte *out);

#endif

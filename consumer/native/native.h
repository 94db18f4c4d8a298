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

/* What sinks/json/rule.py says of a payload, and sinks/json/fields.py of the members that decide where it goes. */
typedef enum {
    FINE = 0,
    NOT_JSON = 1,
    TOO_DEEP = 2,
    LONG_NAME = 3,
    NOT_UNICODE = 4,
    BAD_NUMBER = 5,
    NOT_AN_OBJECT = 6,
    REPEATED_FIELD = 7
} json_verdict;

typedef struct {
    uint64_t max_depth, max_name_bytes;
    int64_t unicode_only, doubles_only;
} json_limits;

/* Any limits of rule.py allow what keeps to these, so that json.c is sure of it whatever they are. The least of rule.py is
 * one level more than SURE_DEPTH: around the value of a member that json_value looks at stands an object. */
enum { SURE_DEPTH = 63, SURE_NAME_BYTES = 65536, SURE_DIGITS = 200, SURE_EXPONENT_DIGITS = 2 };

/* What `has_escape` holds. */
enum { AN_ESCAPE = 1, HALF_A_PAIR = 2 };

/* judge.c: the verdict on a payload of `size` bytes, behind which stands one below a space; where it is not FINE, `offset`
 * is that of the token at fault. `levels` has max_depth / 8 + 1 bytes. */
int judge_json(const byte *text, uint64_t size, const json_limits *limits, byte *levels, uint64_t *offset);

/* fields.c: past the value at `place`, of a payload that ends at `end` and was judged to be fine; of another one past
 * whatever looks like one, or NULL. */
const byte *past_judged_value(const byte *place, const byte *end);

/* Line ends, too: a payload may hold some between its tokens, so its end has to be told apart from them. */
static inline const byte *any_space(const byte *place, const byte *end) {
    while (place < end && (*place == ' ' || *place == '\t' || *place == '\n' || *place == '\r')) place++;
    return place;
}

/* json.c: `limit` is the end of the readable buffer; a line end stands somewhere before it, where scanning ends at the
 * latest. Each function returns where it has come to, or NULL where the text is not, or not surely, what it looks for.
 * Of json_string that is sure; it adds to `has_escape`. */
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
    const byte *end = json_string(place, limit, has_escape, &is_ascii);
    return UNLIKELY(end && end - place > SURE_NAME_BYTES - 12) ? NULL : end;
}

/* Of four hexadecimal digits. */
static inline uint32_t code_point(const byte *hex) {
    uint32_t value = 0;
    for (int place = 0; place < 4; place++) {
        byte letter = hex[place] | 0x20;
        value = value << 4 | (uint32_t)(letter <= '9' ? letter - '0' : letter - 'a' + 10);
    }
    return value;
}

/* In UTF-8; half of a surrogate pair as well, as Python's "surrogatepass" encodes it. Returns what is behind it. */
static inline byte *put_code_point(byte *out, uint32_t value) {
    if (value < 0x80) {
        *out++ = (byte)value;
    } else if (value < 0x800) {
        *out++ = (byte)(0xC0 | value >> 6);
        *out++ = (byte)(0x80 | (value & 0x3F));
    } else if (value < 0x10000) {
        *out++ = (byte)(0xE0 | value >> 12);
        *out++ = (byte)(0x80 | (value >> 6 & 0x3F));
        *out++ = (byte)(0x80 | (value & 0x3F));
    } else {
        *out++ = (byte)(0xF0 | value >> 18);
        *out++ = (byte)(0x80 | (value >> 12 & 0x3F));
        *out++ = (byte)(0x80 | (value >> 6 & 0x3F));
        *out++ = (byte)(0x80 | (value & 0x3F));
    }
    return out;
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

static inline int is_digit(byte character) { return (byte)(character - '0') < 10; }

/* Past a number without sign, fraction and exponent, before whatever follows a member, which is how most are written;
 * NULL where it is something else, which may be a number, too. */
static inline const byte *plain_number(const byte *place) {
    const byte *begin = place;
    while (is_digit(*place)) place++;
    /* none at all is, without a sign, too many as well */
    if ((uint64_t)(place - begin) - 1 >= SURE_DIGITS || (*begin == '0' && place - begin > 1)) return NULL;
    return *place == ',' || *place == '}' ? place : NULL;
}

/* Whether there is such a day; each number may be -1. */
static inline int is_day(int year, int month, int day) {
    static const byte days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (year < 1 || month < 1 || month > 12 || day < 1) return 0;
    int leaps = month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return day <= days[month] + leaps;
}

/* Of a day that there is. A year that begins in March has its leap day at the end; 400 of these have 146,097 days. */
static inline int64_t days_since_1970(int64_t year, int64_t month, int64_t day) {
    year -= month <= 2;
    int64_t era = year / 400, year_of_era = year % 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* What is known of the row of each record of a chunk, by the record's index: where its payload is, how long it is, where
 * in it the key stands (NO_KEY where it is missing) and how long that is, the time in microseconds since 1970, and what the
 * values of its arrays take in Arrow beside their texts: of typed columns. */
typedef struct {
    const byte **payloads;
    uint32_t *sizes;
    uint32_t *key_offsets;
    uint32_t *key_sizes;
    int64_t *times_us;
    uint32_t *array_bytes;
} row_places;

/* BigQuery's types, but for those that are left to Python. GEOGRAPHY is a text, too. */
typedef enum {
    COLUMN_TEXT = 0,
    COLUMN_JSON = 1,
    COLUMN_INTEGER = 2,
    COLUMN_FLOAT = 3,
    COLUMN_BOOLEAN = 4,
    COLUMN_TIMESTAMP = 5,
    COLUMN_DATE = 6,
    COLUMN_NUMERIC = 7
} column_type;

enum { MOST_COLUMNS = 512 };

/* Of a record that makes a row of fields, as in rows/size.py. */
enum { MOST_MEMBERS = 10000, LEAST_MEMBER_BYTES = 5, MOST_VALUES = 100000 };

/* `quoted` is the name with its quotes and the colon, as it mostly stands in a record, and at least QUOTED_SLACK bytes may
 * be read behind it; `lower` is the name in lower case, by which Python finds it as well. Of a column of arrays `value_bytes`
 * is what each value takes in Arrow beside its text; others have 0 there. */
typedef struct {
    span name, quoted, lower;
    int32_t type, is_required, value_bytes;
} typed_column;

enum { QUOTED_SLACK = 16 };

/* Each column may have two, and three of four stay empty. */
enum { COLUMN_SLOTS = 4096 };

/* The columns of a table. The one at `time_column` is a TIMESTAMP that takes the arrival where a record has no time; the
 * one at `key_column` holds the key, and is -1 where none does; the one at `overflow_column`, or -1, holds the members
 * without a column, its own name among them. What index_columns fills: COLUMN_SLOTS `slots`, in which a
 * column stands (one more than its number, 0 is empty) at most `most_steps` behind the slot that its name chooses; and the
 * size of the longest name. */
typedef struct {
    const typed_column *columns;
    uint64_t count;
    int64_t time_column, key_column, overflow_column;
    int64_t takes_unknown; /* or a member without a column makes a row that is left to Python */
    uint16_t *slots;
    uint64_t most_steps, longest_name;
} row_schema;

typedef enum { CELL_MISSING = 0, CELL_NULL = 1, CELL_THERE = 2, CELL_WITH_ESCAPES = 3, CELL_OF_OTHERS = 4 } cell_state;

/* A member without a column, as it is spelled, but for the quotes of its name. */
typedef struct {
    span name, value;
} other_member;

/* For the overflow column; a row with more of them is left to Python. */
enum { MOST_OTHERS = 32 };

/* `integer` is days of a DATE, microseconds of a TIMESTAMP, and of a NUMERIC the lower half, to which `more` is the upper
 * one. A text is without its quotes, but with its escapes; an array is a text with its brackets, `more` is how many values
 * it has, and `text_size` what their texts take without escapes; of other members, in an object of so many bytes, too. */
typedef struct {
    union {
        int64_t integer;
        double number;
        const byte *text;
        const other_member *others;
    };
    uint64_t more;
    uint32_t text_size;
    uint32_t state;
} typed_cell;

/* Where in its column the text before `place` ends, and the next one begins. */
static inline void put_offset(byte *offsets, uint64_t place, uint64_t value) {
    int32_t offset = (int32_t)value;
    memcpy(offsets + place * sizeof offset, &offset, sizeof offset);
}

typedef struct {
    typed_cell cells[MOST_COLUMNS];
    other_member others[MOST_OTHERS];
} typed_row;

/* One column of a record batch: where in the batch's body its buffers begin (`validity` where there are nulls, `offsets`
 * where there are texts, `arrays` says where each array begins), and how many bytes of text are written so far. A column of
 * arrays has `array_values`, of which `values_written` are written so far; its other buffers are those of the values. */
typedef struct {
    uint64_t nulls, text_bytes, validity, offsets, values, written;
    uint64_t array_values, arrays, values_written;
} typed_layout;

/* typed_columns.c: adds a row's cells to what is known of its table's columns. */
void add_cells(const row_schema *schema, const typed_cell *cells, typed_layout *layout);

/* typed_columns.c: as read_members, with the cells of a row; what the values of arrays take in Arrow beside their
 * texts, NO_ROW where it is not sure. Where the text `is_judged`, it is no record as it came, or one that was read before:
 * values that json.c is not sure of are taken as they are, and the overflow column may be among them. */
int64_t read_typed_row(const byte *place, const byte *end, const byte *limit, int is_judged, const row_schema *schema,
                       const row_rules *rules, member *key, member *time, typed_row *row);
enum { NO_ROW = -1 };

/* base64.c: decodes `size` characters; returns the number of bytes written, -1 where they are no base64. Writes up to
 * SLACK bytes beyond them. */
int64_t base64_decode(const byte *text, uint64_t size, byte *out);

#endif

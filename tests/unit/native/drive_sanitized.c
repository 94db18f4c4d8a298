/* Feeds random and mutated input to every function of the library, in buffers of exactly the documented sizes, so that
 * the compiler's sanitizers see any byte read or written beside them. Ends with 0 if nothing was found.
 *
 *     drive_sanitized ROUNDS SEED     (test_sanitizers.py compiles it)
 */
#include <stdio.h>
#include <stdlib.h>

#include "native.h"

/* The library's own, which it keeps to itself. */
#include "columns.c"
#include "rows.c"

int parse_records(const byte *, uint64_t, uint64_t, record_columns *, message_progress *);
void index_columns(row_schema *);
int is_typed_row(const byte *, uint64_t, const row_schema *, const row_rules *);
void measure_typed(const row_schema *, const row_rules *, const row_places *, const uint32_t *, uint64_t, typed_layout *);
void write_typed(const row_schema *, const row_rules *, const row_places *, const uint32_t *, uint64_t, typed_layout *,
                 uint64_t, byte *);
uint64_t json_lines(const byte *, uint64_t, const uint32_t *, uint64_t);

enum { LONGEST_PAYLOAD = 4000, MOST_RECORDS = 6 };
enum { PARSED = 0, UNSURE = 1, MORE_RECORDS = 2, UNFINISHED = 3, AT_RECORD = 3, BEHIND_RECORD = 4 };

static uint64_t state, parsed, passed, sure, rows, unsure, found, typed;

static uint64_t below(uint64_t end) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % end;
}

static void check(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "not true: %s\n", what);
    abort();
}

static void *exactly(const void *from, uint64_t size) {
    void *copy = malloc(size);
    if (size) memcpy(copy, from, size);
    return copy;
}

static const char *const PIECES[] = {
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\\\", "\\\"", "\\u00e9", "\\ud800", "\t", "\n", "\r", " ", "0", "-1",
    "1.5e3", "true", "null", "\"time\":", "\"player_id\":", "\"a1b2\"", "\"2023-11-14T22:13:20Z\"", "\xc3\xa9",
    "\xf0\x9f\x98\x80", "\xed\xa0\x80", "\xff", "\xe2\x82", "\xf0\x9f", "QUJD", "QUI=", "QQ==", "\"data\":\"",
    "\"partitionKey\":", "\"records\":[", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "[[[[[[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":", "\x7f", "\x1f",
};
enum { PIECE_COUNT = sizeof PIECES / sizeof *PIECES };

static uint64_t put_text(byte *out, const char *text) {
    memcpy(out, text, strlen(text));
    return strlen(text);
}

/* Changes, cuts off, puts in or takes out a few bytes; grows by less than 200. */
static uint64_t mutated(byte *text, uint64_t size) {
    for (uint64_t times = below(4); times; times--) {
        uint64_t at = below(size + 1), length = below(20);
        const char *piece = PIECES[below(PIECE_COUNT)];
        switch (below(4)) {
        case 0:
            if (at < size) text[at] = (byte)below(256);
            break;
        case 1:
            size = at;
            break;
        case 2:
            memmove(text + at + strlen(piece), text + at, size - at);
            size += put_text(text + at, piece);
            break;
        default:
            if (length > size - at) length = size - at;
            memmove(text + at, text + at + length, size - at - length);
            size -= length;
        }
    }
    return size;
}

static uint64_t random_payload(byte *out) {
    uint64_t size = 0;
    if (!below(3)) {
        for (uint64_t count = below(20); count; count--) size += put_text(out + size, PIECES[below(PIECE_COUNT)]);
        return size;
    }
    size += (uint64_t)sprintf((char *)out, "{\"player_id\":\"%c%x\",", "0123456789abcdefABCDEFg"[below(23)],
                              (unsigned)below(1u << 31));
    if (below(4))
        size += (uint64_t)sprintf((char *)out + size, "\"time\":\"20%02u-%02u-%02uT22:13:20%sZ\",", (unsigned)below(30),
                                  (unsigned)below(14), (unsigned)below(33), below(2) ? ".123" : "");
    static const char *const MEMBERS[] = {
        "\"score\":-9223372036854775807,", "\"score\":12345678901234567890,", "\"score\":null,", "\"ratio\":1.25,",
        "\"ratio\":0.30000000000000004,", "\"ratio\":-1e-300,", "\"won\":true,", "\"won\":false,",
        "\"born\":\"2024-02-29\",", "\"seen\":\"2023-11-14T22:13:20.123456Z\",", "\"seen\":\"2023-11-14T22:13:20.1Z\",",
        "\"more\":{\"a\":[1, 2]},", "\"more\":\"\\ud83d\\ude00\",", "\"extra\":1,", "\"Score\":1,",
    };
    if (below(2))
        for (uint64_t at = below(9); at < sizeof MEMBERS / sizeof *MEMBERS; at += 1 + below(9))
            size += put_text(out + size, MEMBERS[at]);
    size += put_text(out + size, "\"note\":\"");
    for (uint64_t count = below(120); count; count--) {
        uint64_t what = below(12);
        if (what == 0)
            size += put_text(out + size, below(2) ? "\\\"" : below(2) ? "\\\\" : below(2) ? "\\ud83d\\ude00" : "\\u20ac");
        else if (what == 1)
            size += put_text(out + size, "\xc3\xa9");
        else
            out[size++] = (byte)('a' + below(26));
    }
    size += put_text(out + size, "\"");
    for (uint64_t count = below(3); count; count--) out[size++] = below(2) ? '\t' : ' ';
    out[size++] = '}';
    if (!below(3))
        for (uint64_t count = below(40); count; count--) out[size++] = below(2) ? '\t' : ' ';
    return below(3) ? size : mutated(out, size);
}

static row_rules random_rules(span *texts) {
    static const char *const FIELDS[] = {"player_id", "time",      "{\"insertId\":\"abc-1-", "\",\"json\":{\"player_id\":",
                                         ",\"time\":\"", "\",\"log\":\"", "\"}}"};
    for (int place = 0; place < 7; place++)
        texts[place] = (span){exactly(FIELDS[place], strlen(FIELDS[place])), strlen(FIELDS[place])};
    row_rules rules = {
        .key_name = texts[0], .time_name = texts[1], .head = texts[2], .middle = texts[3], .time_head = texts[4],
        .log_head = texts[5], .tail = texts[6], .key_digits = below(3), .is_whole = (int64_t)below(2),
        .max_rows = 1 + below(4), .max_bytes = below(3) ? 1000000 : 50 + below(1500), .least_billed_bytes = 1024,
        .billed_bytes_beside = 10, .arrival_day = -1,
    };
    memcpy(rules.oldest_day, "2010-01-01", 10);
    memcpy(rules.newest_day, "2030-01-01", 10);
    return rules;
}

static void drive_write_rows(const record_columns *columns, row_rules rules) {
    uint64_t tables = 1u << 4 * rules.key_digits;
    table_body *bodies = calloc(tables, sizeof *bodies);
    uint32_t *unsure_indices = malloc(4 * columns->count);
    row_cursor cursor = {0};
    for (int result; (result = write_rows(&rules, columns, 0, bodies, unsure_indices, &cursor)) != DONE;) {
        table_body *body = &bodies[cursor.table];
        if (result == OTHER_DAY) {
            rules.arrival_day = columns->arrivals[cursor.index] / DAY_MS;
        } else if (result == BODY_NEEDS_BYTES) {
            byte *more = malloc(cursor.bytes);
            if (body->size) memcpy(more, body->body, body->size);
            free(body->body);
            body->body = more;
            body->capacity = cursor.bytes;
            if (!body->indices) body->indices = malloc(4 * rules.max_rows);
        } else {
            check(body->rows > 0, "a full body has rows");
            rows += body->rows;
            body->size = body->rows = 0;
        }
    }
    check(cursor.index == columns->count && cursor.text_offset == columns->text_bytes, "all records are looked at");
    check(cursor.label_offset == columns->label_bytes, "all labels are passed");
    unsure += cursor.unsure;
    for (uint64_t table = 0; table < tables; table++) {
        rows += bodies[table].rows;
        free(bodies[table].body);
        free(bodies[table].indices);
    }
    free(bodies);
    free(unsure_indices);
}

static row_places places_for(uint64_t count) {
    return (row_places){malloc(8 * count), malloc(4 * count), malloc(4 * count), malloc(4 * count), malloc(8 * count)};
}

static void forget_places(row_places *places) {
    free(places->payloads), free(places->sizes), free(places->key_offsets), free(places->key_sizes);
    free(places->times_us);
}

static row_choice choice_of(uint32_t *indices, uint64_t count) {
    for (uint32_t index = 0; index < count; index++) indices[index] = index;
    return (row_choice){indices, count, malloc(count), malloc(4 * count), malloc(4 * count), malloc(4 * MOST_TABLES), 64,
                        NULL};
}

static void forget_choice(row_choice *choice) {
    free(choice->tables), free(choice->sorted), free(choice->sizes), free(choice->counts);
}

static uint64_t padded_size(uint64_t size) { return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT; }

enum { COLUMNS = 8 };

static void drive_typed_columns(const record_columns *columns, row_rules rules) {
    static const char *const NAMES[COLUMNS] = {"player_id", "time", "score", "ratio", "won", "born", "note", "more"};
    static const column_type TYPES[COLUMNS] = {COLUMN_TEXT,    COLUMN_TIMESTAMP, COLUMN_INTEGER, COLUMN_FLOAT,
                                               COLUMN_BOOLEAN, COLUMN_DATE,      COLUMN_TEXT,    COLUMN_JSON};
    typed_column described[COLUMNS];
    for (int column = 0; column < COLUMNS; column++) {
        span name = {exactly(NAMES[column], strlen(NAMES[column])), strlen(NAMES[column])};
        char *quoted = malloc(name.size + 4 + QUOTED_SLACK);
        sprintf(quoted, "\"%s\":", NAMES[column]);
        described[column] = (typed_column){name, {(byte *)quoted, name.size + 3}, name, TYPES[column],
                                           column == 1 || !below(20)};
    }
    row_schema schema = {described, COLUMNS, 1, below(2) ? 0 : -1, below(4) != 0, malloc(2 * COLUMN_SLOTS), 0, 0};
    index_columns(&schema);
    uint64_t count = columns->count, left = 0;
    uint32_t *indices = malloc(4 * count);
    row_places places = places_for(count);
    row_choice choice = choice_of(indices, count);
    choice_cursor cursor = {0};
    uint64_t tables = 1u << 4 * rules.key_digits;
    choice.layouts = calloc(tables * COLUMNS, sizeof *choice.layouts);
    byte *is_left = calloc(count, 1);
    for (int result; (result = find_rows(&rules, &schema, columns, 0, &choice, &places, &cursor)) != FOUND;) {
        if (result == ON_ANOTHER_DAY)
            rules.arrival_day = columns->arrivals[cursor.index] / DAY_MS;
        else
            is_left[cursor.place++] = 1;
    }
    for (uint64_t place = 0; place < count; place++) {
        if (is_left[place]) continue;
        indices[left] = indices[place];
        choice.tables[left++] = choice.tables[place];
    }
    choice.count = left;
    sort_rows(&choice, &places);
    typed_layout *layout = malloc(COLUMNS * sizeof *layout);
    measure_typed(&schema, &rules, &places, choice.sorted, left, layout);
    for (int column = 0; column < COLUMNS; column++) {
        typed_layout sum = {0};
        for (uint64_t table = 0; table < tables; table++) {
            sum.nulls += choice.layouts[table * COLUMNS + (uint64_t)column].nulls;
            sum.text_bytes += choice.layouts[table * COLUMNS + (uint64_t)column].text_bytes;
        }
        check(sum.nulls == layout[column].nulls && sum.text_bytes == layout[column].text_bytes, "measured alike");
    }
    free(choice.layouts);
    uint64_t whole = 0;
    for (int column = 0; column < COLUMNS; column++) {
        typed_layout *at = &layout[column];
        int is_text = TYPES[column] == COLUMN_TEXT || TYPES[column] == COLUMN_JSON;
        uint64_t bits = (left + 7) / 8, cells = TYPES[column] == COLUMN_DATE ? 4 * left : 8 * left;
        at->validity = whole, whole += padded_size(at->nulls ? bits : 0);
        at->offsets = whole, whole += padded_size(is_text ? 4 * (left + 1) : 0);
        at->values = whole;
        whole += padded_size(is_text ? at->text_bytes : TYPES[column] == COLUMN_BOOLEAN ? bits : cells);
    }
    byte *out = malloc(whole);
    write_typed(&schema, &rules, &places, choice.sorted, left, layout, whole, out);
    for (int column = 0; column < COLUMNS; column++)
        if (TYPES[column] == COLUMN_TEXT) check(layout[column].written == layout[column].text_bytes, "as measured");
    typed += left;
    const byte *payload = columns->text;
    for (uint64_t index = 0; index < count; index++) {
        byte *line = exactly(payload, columns->sizes[index] + 1);
        int is_row = is_typed_row(line, columns->sizes[index] + 1, &schema, &rules);
        check(is_row || is_left[index], "what was found is a row");
        free(line);
        payload += columns->sizes[index] + 1;
    }
    for (int column = 0; column < COLUMNS; column++) {
        free((void *)(uintptr_t)described[column].name.begin);
        free((void *)(uintptr_t)described[column].quoted.begin);
    }
    free(out), free(layout), free(is_left), free(indices), free(schema.slots);
    forget_places(&places);
    forget_choice(&choice);
}

static void drive_columns(const record_columns *columns, row_rules rules) {
    uint64_t count = columns->count;
    uint32_t *indices = malloc(4 * count);
    row_places places = places_for(count);
    row_choice choice = choice_of(indices, count);
    choice_cursor cursor = {0};
    int result;
    while ((result = find_rows(&rules, NULL, columns, 0, &choice, &places, &cursor)) == ON_ANOTHER_DAY)
        rules.arrival_day = columns->arrivals[cursor.index] / DAY_MS;
    if (result == FOUND) {
        sort_rows(&choice, &places);
        column_sizes sizes;
        measure_columns(&places, choice.sorted, count, &sizes);
        uint64_t bits = sizes.missing_keys ? (count + 7) / 8 : 0, offsets = 4 * (count + 1);
        uint64_t parts[] = {bits, offsets, sizes.key_bytes, 8 * count, offsets, sizes.log_bytes}, whole = 0;
        for (int place = 0; place < 6; place++) whole += padded_size(parts[place]);
        byte *out = malloc(whole);
        write_columns(&places, choice.sorted, count, &sizes, out);
        free(out);
        found += count;
    }
    int64_t *times = malloc(8 * count);
    check(find_times(&rules, columns, 0, times, indices) <= count, "no more unsure times than records");
    free(times);
    free(indices);
    forget_places(&places);
    forget_choice(&choice);
}

static void drive_all(const record_columns *columns) {
    span texts[7];
    row_rules rules = random_rules(texts);
    uint64_t lines = json_lines(columns->text, columns->text_bytes, columns->sizes, columns->count);
    check(lines <= columns->count, "no more lines than records");
    sure += lines;
    drive_write_rows(columns, rules);
    drive_columns(columns, rules);
    drive_typed_columns(columns, rules);
    for (int place = 0; place < 7; place++) free((void *)(uintptr_t)texts[place].begin);
}

static record_columns copied(record_columns from) {
    uint64_t count = from.count;
    return (record_columns){
        exactly(from.text, from.text_bytes),        exactly(from.labels, from.label_bytes),
        exactly(from.sizes, 4 * count),             exactly(from.key_sizes, 4 * count),
        exactly(from.sequence_sizes, 4 * count),    exactly(from.sub_sequences, 8 * count),
        exactly(from.arrivals, 8 * count),          NULL,
        NULL,                                       from.text_bytes,
        from.label_bytes,                           count,
    };
}

static void freed(record_columns *columns) {
    free(columns->text), free(columns->labels), free(columns->sizes), free(columns->key_sizes);
    free(columns->sequence_sizes), free(columns->sub_sequences), free(columns->arrivals);
    free(columns->text_begins), free(columns->label_begins);
}

/* As Python makes them, of whatever it was given. */
static void drive_made_columns(void) {
    static byte text[MOST_RECORDS * LONGEST_PAYLOAD], labels[MOST_RECORDS * 100];
    uint32_t sizes[MOST_RECORDS], key_sizes[MOST_RECORDS], sequence_sizes[MOST_RECORDS];
    uint64_t sub_sequences[MOST_RECORDS];
    int64_t arrivals[MOST_RECORDS];
    record_columns made = {text, labels, sizes, key_sizes, sequence_sizes, sub_sequences, arrivals, NULL, NULL, 0, 0, 0};
    for (uint64_t count = 1 + below(MOST_RECORDS - 1); made.count < count; made.count++) {
        uint64_t index = made.count;
        sizes[index] = (uint32_t)random_payload(text + made.text_bytes);
        made.text_bytes += sizes[index];
        text[made.text_bytes++] = '\n';
        key_sizes[index] = (uint32_t)below(9);
        sequence_sizes[index] = (uint32_t)below(60);
        for (uint32_t left = key_sizes[index] + sequence_sizes[index]; left; left--)
            labels[made.label_bytes++] = (byte)(below(40) ? '0' + below(10) : below(256));
        sub_sequences[index] = below(2) ? below(UINT64_MAX) : below(5);
        arrivals[index] = below(9) ? (int64_t)(1700000000000 + below(3) * DAY_MS) : (int64_t)below(UINT64_MAX);
    }
    record_columns columns = copied(made);
    drive_all(&columns);
    freed(&columns);
}

static uint64_t put_base64(byte *out, const byte *from, uint64_t size) {
    const char *alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t end = 0;
    for (uint64_t at = 0; at < size; at += 3) {
        uint64_t left = size - at;
        uint32_t bits = (uint32_t)from[at] << 16;
        if (left > 1) bits |= (uint32_t)from[at + 1] << 8;
        if (left > 2) bits |= from[at + 2];
        out[end++] = (byte)alphabet[bits >> 18];
        out[end++] = (byte)alphabet[bits >> 12 & 63];
        out[end++] = left > 1 ? (byte)alphabet[bits >> 6 & 63] : '=';
        out[end++] = left > 2 ? (byte)alphabet[bits & 63] : '=';
    }
    return end;
}

static record_columns with_room(uint64_t bytes, uint64_t capacity) {
    return (record_columns){
        malloc(bytes),        malloc(bytes),        malloc(4 * capacity), malloc(4 * capacity),       malloc(4 * capacity),
        malloc(8 * capacity), malloc(8 * capacity), malloc(8 * capacity + 8), malloc(8 * capacity + 8), 0, 0, 0,
    };
}

static void *longer(void *from, uint64_t size, uint64_t more) {
    byte *made = malloc(size + more);
    memcpy(made, from, size);
    free(from);
    return made;
}

static void give_room(record_columns *columns, uint64_t capacity, uint64_t more) {
    uint64_t four = 4 * capacity, eight = 8 * capacity;
    columns->sizes = longer(columns->sizes, four, 4 * more);
    columns->key_sizes = longer(columns->key_sizes, four, 4 * more);
    columns->sequence_sizes = longer(columns->sequence_sizes, four, 4 * more);
    columns->sub_sequences = longer(columns->sub_sequences, eight, 8 * more);
    columns->arrivals = longer(columns->arrivals, eight, 8 * more);
    columns->text_begins = longer(columns->text_begins, eight + 8, 8 * more);
    columns->label_begins = longer(columns->label_begins, eight + 8, 8 * more);
}

/* As Python does with a record that C is not sure of, were it an empty one: on behind it, or 0 where there is none. */
static int pass_record(const byte *line, uint64_t size, record_columns *columns, message_progress *progress) {
    if (progress->stage != AT_RECORD || line[progress->offset] != '{') return 0;
    const byte *end = memchr(line + progress->offset, '}', size - progress->offset);
    if (!end) return 0;
    uint64_t index = columns->count++;
    columns->sizes[index] = columns->key_sizes[index] = columns->sequence_sizes[index] = 0;
    columns->sub_sequences[index] = 0, columns->arrivals[index] = 0;
    columns->text[columns->text_bytes++] = '\n';
    columns->text_begins[index + 1] = columns->text_bytes;
    columns->label_begins[index + 1] = columns->label_bytes;
    progress->stage = BEHIND_RECORD;
    progress->offset = (uint64_t)(end + 1 - line);
    passed++;
    return 1;
}

/* The first bytes of a text and one more behind them, in a buffer of their own. */
static int read_on(const byte *text, uint64_t size, byte last, record_columns *columns, uint64_t *capacity,
                   message_progress *progress) {
    byte *line = exactly(text, size + 1);
    line[size] = last;
    int result;
    for (;;) {
        result = parse_records(line, size + 1, *capacity, columns, progress);
        check(progress->offset <= size, "no further than to the line end");
        if (result == MORE_RECORDS) {
            give_room(columns, *capacity, *capacity);
            *capacity *= 2;
        } else if (result != UNSURE || !pass_record(line, size, columns, progress)) {
            break;
        }
    }
    free(line);
    return result;
}

static void check_begins(const record_columns *columns) {
    uint64_t text = 0, labels = 0;
    for (uint64_t index = 0; index <= columns->count; index++) {
        check(columns->text_begins[index] == text && columns->label_begins[index] == labels, "sums are right");
        if (index == columns->count) break;
        text += columns->sizes[index] + 1;
        labels += columns->key_sizes[index] + columns->sequence_sizes[index];
    }
    check(columns->text_bytes == text && columns->label_bytes == labels, "the last sum is all there is");
}

/* A partition key with its quotes: mostly as Jackson writes it. */
static uint64_t put_key(byte *out) {
    static const char *const ESCAPED[] = {
        "\\\"", "\\\\", "\\n", "\\u0001", "\\u00E9", "\\u20ac", "\\ud83d\\ude00", "\\ud83d", "\\ude00", "\xc3\xa9",
        "\xe2\x82\xac", "\xf0\x9f\x98\x80",
    };
    static const char *const WRONG[] = {
        "\\", "\\x", "\\u12", "\\ud83d\\u", "\xed\xa0\x80", "\xc3", "\xf0\x9f", "\t", "\"",
    };
    uint64_t size = put_text(out, "\"");
    for (uint64_t count = below(8); count; count--) {
        if (!below(40)) size += put_text(out + size, WRONG[below(sizeof WRONG / sizeof *WRONG)]);
        else if (below(3) == 0) size += put_text(out + size, ESCAPED[below(sizeof ESCAPED / sizeof *ESCAPED)]);
        else out[size++] = (byte)('a' + below(26));
    }
    return size + put_text(out + size, "\"");
}

static void drive_message(void) {
    static byte text[MOST_RECORDS * 2 * LONGEST_PAYLOAD], some[LONGEST_PAYLOAD];
    uint64_t size = (uint64_t)sprintf((char *)text, "{\"action\":\"processRecords\",\"millisBehindLatest\":%s,\"records\":[",
                                      below(2) ? "null" : "123");
    for (uint64_t index = 0, count = below(MOST_RECORDS); index < count; index++) {
        size += put_text(text + size, index ? ",{\"data\":\"" : "{\"data\":\"");
        size += put_base64(text + size, some, random_payload(some));
        size += put_text(text + size, "\",\"partitionKey\":");
        size += put_key(text + size);
        size += (uint64_t)sprintf((char *)text + size,
                                  ",\"sequenceNumber\":\"4957%u\",\"subSequenceNumber\":%u,"
                                  "\"approximateArrivalTimestamp\":17%011llu,\"action\":\"record\"}",
                                  (unsigned)below(1u << 31), (unsigned)below(3),
                                  (unsigned long long)below(100000000000));
    }
    size += put_text(text + size, "]}");
    if (below(2)) size = mutated(text, size);
    if (below(20) || !size) text[size++] = '\n';
    uint64_t capacity = 1;
    record_columns columns = with_room(size + SLACK, capacity);
    message_progress progress = {0};
    const byte *begin = text;
    for (uint64_t looks = below(4), at = 0; looks && at + 2 < size; looks--) {
        at += 1 + below(size - at - 1);
        read_on(begin, (uint64_t)(text + at - begin), '\n', &columns, &capacity, &progress);
        if (below(2)) continue;
        /* what is read may be left out */
        begin += progress.offset;
        progress.offset = 0;
    }
    uint64_t left = (uint64_t)(text + size - begin);
    int result = left ? read_on(begin, left - 1, text[size - 1], &columns, &capacity, &progress) : UNFINISHED;
    if (result == PARSED) {
        check_begins(&columns);
        if (columns.count) {
            record_columns exact = copied(columns);
            drive_all(&exact);
            freed(&exact);
            parsed++;
        }
    }
    freed(&columns);
}

int main(int count, char **arguments) {
    check(count == 3, "two arguments: rounds and seed");
    state = strtoull(arguments[2], NULL, 10) * 2 + 88172645463325253u;
    for (long left = atol(arguments[1]); left > 0; left--) {
        drive_made_columns();
        drive_message();
    }
    printf("%llu messages parsed, %llu records passed, %llu lines sure, %llu rows, %llu unsure, %llu found, %llu typed\n",
           (unsigned long long)parsed, (unsigned long long)passed, (unsigned long long)sure, (unsigned long long)rows,
           (unsigned long long)unsure, (unsigned long long)found, (unsigned long long)typed);
    return 0;
}

/* Columns with types, of records whose members have their names: read in the text of their chunk, as often as somebody
 * has to know what is there, and written as Arrow has them. */
#include "native.h"
#include <math.h>
#include <stdlib.h>

/* Whether texts are alike but for the case of ASCII letters; `lower` has none in upper case. */
static int is_lower_of(const byte *text, uint64_t size, span lower) {
    if (size != lower.size) return 0;
    for (uint64_t place = 0; place < size; place++) {
        byte character = text[place];
        if (character >= 'A' && character <= 'Z') character |= 0x20;
        if (character != lower.begin[place]) return 0;
    }
    return 1;
}

static inline int is_name_of(const typed_column *column, const byte *name, uint64_t size) {
    return size == column->name.size && !memcmp(name, column->name.begin, size);
}

/* The slot that a name chooses: the same one in whatever case, which is one bit of a letter in ASCII. */
static uint64_t slot_of(const byte *name, uint64_t size) {
    uint64_t hash = size;
    for (uint64_t place = 0; place < size; place++) hash = (hash ^ (name[place] | 0x20u)) * UINT64_C(0x9E3779B97F4A7C15);
    return (hash ^ hash >> 32) % COLUMN_SLOTS;
}

static void put_into_slot(row_schema *schema, uint16_t column, span name) {
    uint64_t slot = slot_of(name.begin, name.size), steps = 0;
    for (; schema->slots[slot] && schema->slots[slot] != column; steps++) slot = (slot + 1) % COLUMN_SLOTS;
    schema->slots[slot] = column;
    if (steps > schema->most_steps) schema->most_steps = steps;
    if (name.size > schema->longest_name) schema->longest_name = name.size;
}

/* Once for a schema of at most MOST_COLUMNS, before its first row. */
EXPORT void index_columns(row_schema *schema) {
    memset(schema->slots, 0, COLUMN_SLOTS * sizeof *schema->slots);
    schema->most_steps = schema->longest_name = 0;
    for (uint64_t place = 0; place < schema->count; place++) {
        put_into_slot(schema, (uint16_t)(place + 1), schema->columns[place].name);
        put_into_slot(schema, (uint16_t)(place + 1), schema->columns[place].lower);
    }
}

static int is_all_ascii(const byte *text, uint64_t size) {
    byte all = 0;
    for (uint64_t place = 0; place < size; place++) all |= text[place];
    return all < 0x80;
}

enum { NO_COLUMN = -1, MAY_BE_A_COLUMN = -2 };

/* The names of members are whatever somebody has sent, in any number: to find a column takes as long as the name is, and
 * `most_steps` looks at most, however many columns there are. */
static int64_t column_of(const row_schema *schema, const byte *name, uint64_t size) {
    if (size <= schema->longest_name) {
        uint64_t slot = slot_of(name, size);
        for (uint64_t steps = 0; schema->slots[slot] && steps <= schema->most_steps; steps++) {
            int64_t place = schema->slots[slot] - 1;
            if (is_name_of(&schema->columns[place], name, size)) return place;
            if (is_lower_of(name, size, schema->columns[place].lower)) return MAY_BE_A_COLUMN;
            slot = (slot + 1) % COLUMN_SLOTS;
        }
    }
    /* Python takes names in other letters, too */
    return is_all_ascii(name, size) ? NO_COLUMN : MAY_BE_A_COLUMN;
}

static int integer_of(span text, int64_t *number) {
    const byte *at = text.begin, *end = at + text.size;
    int is_negative = *at == '-';
    at += is_negative;
    if (end - at > 19) return 0;
    uint64_t value = 0;
    for (; at < end; at++) {
        if (!is_digit(*at)) return 0; /* a fraction, an exponent, or another value altogether */
        value = value * 10 + (uint64_t)(*at - '0');
    }
    if (value > (uint64_t)INT64_MAX + (uint64_t)is_negative) return 0;
    *number = (int64_t)(is_negative ? 0 - value : value);
    return 1;
}

/* `text` is a number as JSON has it. */
static int float_of(span text, double *number) {
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                  1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    const byte *at = text.begin, *end = at + text.size;
    int is_negative = *at == '-';
    at += is_negative;
    if (end - at <= 16) {
        /* both the digits and the power of ten are exact, so that one division rounds once */
        int64_t digits = 0, scale = 0;
        int is_behind = 0;
        for (; at < end; at++) {
            if (*at == '.') {
                is_behind = 1;
                continue;
            }
            if (!is_digit(*at)) break;
            digits = digits * 10 + (*at - '0');
            scale += is_behind;
        }
        if (at == end && digits <= INT64_C(1) << 53) {
            double value = (double)digits / tens[scale];
            /* an integer has no -0 */
            *number = is_negative && (digits || is_behind) ? -value : value;
            return 1;
        }
    }
    /* where the process' locale writes another point, it comes to an end there */
    char *stopped;
    *number = strtod((const char *)text.begin, &stopped);
    return (const byte *)stopped == text.begin + text.size && *number - *number == 0;
}

static int is_word(span text, const char *word, uint64_t size) {
    return text.size == size && !memcmp(text.begin, word, size);
}

/* What JSON has no numbers for, as BigQuery and FieldsRows write them. */
static int named_float_of(span text, double *number) {
    if (is_word(text, "NaN", 3)) *number = NAN;
    else if (is_word(text, "Infinity", 8)) *number = INFINITY;
    else if (is_word(text, "-Infinity", 9)) *number = -INFINITY;
    else return 0;
    return 1;
}

/* What stands behind the digits of a number: nothing, or an exponent. */
static int exponent_of(const byte *at, const byte *end, int64_t *exponent) {
    *exponent = 0;
    if (at == end) return 1;
    if ((*at++ | 0x20) != 'e') return 0;
    int is_negative = at < end && *at == '-';
    if (at < end && (*at == '-' || *at == '+')) at++;
    if (at == end || end - at > SURE_EXPONENT_DIGITS) return 0;
    int value = number_of(at, (int)(end - at));
    *exponent = is_negative ? -value : value;
    return value >= 0;
}

enum { NUMERIC_SCALE = 9, NUMERIC_DIGITS = 38 };

/* A number, or a text that is one, in steps of 1e-9: the digit behind these decides how it is rounded, half away from zero,
 * as Python does (reader.py). */
static int numeric_of(span text, typed_cell *cell) {
    static const uint64_t tens[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000};
    const byte *at = text.begin, *end = at + text.size, *behind;
    int is_negative = at < end && *at == '-', is_rounded_up = 0;
    at += is_negative;
    int64_t points = 0, whole = 0, exponent;
    for (behind = at; behind < end && (is_digit(*behind) || *behind == '.'); behind++) {
        points += *behind == '.';
        whole += !points;
    }
    if (points > 1 || behind - at == points || !exponent_of(behind, end, &exponent)) return 0;
    unsigned __int128 value = 0;
    int64_t places = whole + exponent + NUMERIC_SCALE, digits = 0; /* that are to come, and that there are */
    for (; at < behind; at++) {
        if (*at == '.') continue;
        if (places > 0) {
            if (digits == NUMERIC_DIGITS) return 0;
            value = value * 10 + (unsigned)(*at - '0');
            digits += value != 0;
        }
        if (!places--) is_rounded_up = *at >= '5';
    }
    if (value && places > 0 && digits + places > NUMERIC_DIGITS) return 0;
    for (int64_t some; value && places > 0; places -= some) {
        some = places < NUMERIC_SCALE ? places : NUMERIC_SCALE;
        value *= tens[some];
    }
    if (is_rounded_up && digits == NUMERIC_DIGITS) return 0; /* there may be one digit more */
    value += (unsigned)is_rounded_up;
    if (is_negative) value = 0 - value;
    cell->integer = (int64_t)(uint64_t)value;
    cell->more = (uint64_t)(value >> 64);
    return 1;
}

/* Days since 1970 of `2001-02-03`. */
static int day_of(const byte *at, int64_t *day) {
    if (at[4] != '-' || at[7] != '-') return 0;
    int year = number_of(at, 4), month = number_of(at + 5, 2), of_month = number_of(at + 8, 2);
    if (!is_day(year, month, of_month)) return 0;
    *day = days_since_1970(year, month, of_month);
    return 1;
}

/* Microseconds since 1970 of `2001-02-03T04:05:06.789Z`, with as many as six digits behind the point. */
static int micros_since_1970(span text, int64_t *micros) {
    const byte *at = text.begin;
    int64_t day;
    if (text.size < 20 || text.size > 27 || text.size == 21) return 0;
    if (at[10] != 'T' || at[13] != ':' || at[16] != ':' || at[text.size - 1] != 'Z') return 0;
    int hour = number_of(at + 11, 2), minute = number_of(at + 14, 2), second = number_of(at + 17, 2);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return 0;
    if (!day_of(at, &day)) return 0;
    int64_t fraction = 0;
    int digits = (int)text.size - 21;
    if (digits > 0) {
        fraction = number_of(at + 20, digits);
        if (at[19] != '.' || fraction < 0) return 0;
        for (; digits < 6; digits++) fraction *= 10;
    }
    *micros = ((day * 24 + hour) * 3600 + minute * 60 + second) * 1000000 + fraction;
    return 1;
}

/* A text without its quotes, which json_string has looked at, as it is without escapes: never longer than with them. */
static byte *put_unescaped(byte *out, const byte *at, uint64_t size) {
    const byte *end = at + size;
    while (at < end) {
        const byte *stop = memchr(at, '\\', (size_t)(end - at));
        if (!stop) stop = end;
        memcpy(out, at, (size_t)(stop - at));
        out += stop - at;
        if (stop == end) break;
        at = stop + 2;
        switch (stop[1]) {
        case 'b': *out++ = '\b'; break;
        case 'f': *out++ = '\f'; break;
        case 'n': *out++ = '\n'; break;
        case 'r': *out++ = '\r'; break;
        case 't': *out++ = '\t'; break;
        case 'u': {
            uint32_t value = code_point(at);
            at += 4;
            if (value >= 0xD800 && value < 0xDC00) {
                value = 0x10000 + ((value - 0xD800) << 10) + (code_point(at + 2) - 0xDC00);
                at += 6;
            }
            out = put_code_point(out, value);
            break;
        }
        default: *out++ = stop[1];
        }
    }
    return out;
}

static uint64_t unescaped_size(const byte *at, uint64_t with_escapes) {
    uint64_t size = 0;
    for (const byte *end = at + with_escapes; at < end;) {
        if (*at != '\\') {
            size++, at++;
        } else if (at[1] != 'u') {
            size++, at += 2;
        } else {
            uint32_t value = code_point(at + 2);
            int is_pair = value >= 0xD800 && value < 0xDC00;
            size += is_pair ? 4 : value < 0x80 ? 1 : value < 0x800 ? 2 : 3;
            at += is_pair ? 12 : 6;
        }
    }
    return size;
}

/* The cell of a value that was read; 0 where it is left to Python. */
static int set_cell(typed_cell *cell, column_type type, const member *found, int has_escape) {
    span text = found->value;
    byte first = *text.begin;
    int is_number = !found->is_text && (first == '-' || is_digit(first));
    if (!found->is_text && first == 'n' && text.size == 4) {
        cell->state = CELL_NULL;
        return 1;
    }
    cell->state = CELL_THERE;
    switch (type) {
    case COLUMN_TEXT:
        cell->text = text.begin;
        cell->text_size = (uint32_t)text.size;
        cell->state = has_escape ? CELL_WITH_ESCAPES : CELL_THERE;
        return found->is_text;
    case COLUMN_JSON:
        cell->text = text.begin - found->is_text;
        cell->text_size = (uint32_t)text.size + 2 * (uint32_t)found->is_text;
        return 1;
    case COLUMN_INTEGER:
        return is_number && integer_of(text, &cell->integer);
    case COLUMN_FLOAT:
        return found->is_text ? !has_escape && named_float_of(text, &cell->number)
                              : is_number && float_of(text, &cell->number);
    case COLUMN_BOOLEAN:
        cell->integer = first == 't';
        return !found->is_text && (first == 't' || first == 'f');
    case COLUMN_TIMESTAMP:
        return found->is_text && !has_escape && micros_since_1970(text, &cell->integer);
    case COLUMN_DATE:
        return found->is_text && !has_escape && text.size == 10 && day_of(text.begin, &cell->integer);
    case COLUMN_NUMERIC:
        return (found->is_text ? !has_escape : is_number) && numeric_of(text, cell);
    }
    return 0;
}

/* Whether the column's name in quotes stands here, and a colon behind it. */
static inline int is_quoted_here(const byte *place, const byte *limit, const typed_column *column) {
    span quoted = column->quoted;
#if USE_VECTORS
    if (LIKELY(quoted.size <= 16 && limit - place >= 16)) {
        __m128i here = _mm_loadu_si128((const __m128i *)(const void *)place);
        __m128i expected = _mm_loadu_si128((const __m128i *)(const void *)quoted.begin);
        unsigned others = ~(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(here, expected));
        return !(others & ((1u << quoted.size) - 1));
    }
#endif
    return (uint64_t)(limit - place) >= quoted.size && !memcmp(place, quoted.begin, quoted.size);
}

/* A number without fraction and exponent, of which there are many: read as it is looked at. NULL where it is something
 * else, which may be a number, too. */
static inline const byte *small_integer(const byte *place, int64_t *number) {
    int is_negative = *place == '-';
    const byte *begin = place += is_negative;
    int64_t value = 0;
    for (; is_digit(*place) && place - begin < 18; place++) value = value * 10 + (*place - '0');
    if (place == begin || (*begin == '0' && place - begin > 1)) return NULL;
    if (is_digit(*place) || *place == '.' || (*place | 0x20) == 'e') return NULL;
    *number = is_negative ? -value : value;
    return place;
}

static const byte *read_value(const byte *place, const byte *end, const byte *limit, int is_judged, member *found,
                              int *has_escape) {
    const byte *begin = place;
    *found = (member){.is_there = 1, .is_ascii = 1};
    if (*place != '"') {
        place = json_value(place, limit);
        if (UNLIKELY(!place && is_judged)) place = past_judged_value(begin, end);
        if (place) found->value = (span){begin, (uint64_t)(place - begin)};
        return place;
    }
    place = json_string(place + 1, limit, has_escape, &found->is_ascii);
    if (*has_escape & HALF_A_PAIR) return NULL;
    if (place) found->value = (span){begin + 1, (uint64_t)(place - begin) - 2};
    found->is_text = 1;
    return place;
}

/* How many bytes of text a cell puts into its column. */
static uint64_t text_bytes_of(column_type type, const typed_cell *cell) {
    if (cell->state == CELL_WITH_ESCAPES) return unescaped_size(cell->text, cell->text_size);
    return type == COLUMN_TEXT || type == COLUMN_JSON ? cell->text_size : 0;
}

/* Past a value of an array; NULL where it is left to Python, as null is. */
static const byte *read_array_value(const byte *place, const byte *end, const byte *limit, int is_judged,
                                    column_type type, typed_cell *cell) {
    member found;
    int has_escape = 0;
    const byte *behind = type == COLUMN_INTEGER ? small_integer(place, &cell->integer) : NULL;
    cell->state = CELL_THERE;
    if (behind) return behind;
    place = read_value(place, end, limit, is_judged, &found, &has_escape);
    return place && set_cell(cell, type, &found, has_escape) && cell->state != CELL_NULL ? place : NULL;
}

static const byte *read_array(const byte *place, const byte *end, const byte *limit, int is_judged, column_type type,
                              typed_cell *cell) {
    uint64_t text_bytes = 0;
    *cell = (typed_cell){.text = place, .state = CELL_THERE};
    place = json_space(place + 1);
    if (*place == ']') return place + 1;
    for (;;) {
        typed_cell value;
        place = read_array_value(place, end, limit, is_judged, type, &value);
        if (!place || ++cell->more > MOST_VALUES) return NULL;
        text_bytes += text_bytes_of(type, &value);
        place = json_space(place);
        if (*place == ']') break;
        if (*place++ != ',') return NULL;
        place = json_space(place);
    }
    cell->text_size = (uint32_t)text_bytes;
    return place + 1;
}

/* Puts a member into the cell of the overflow column; 0 where that is left to Python. */
static int add_other(typed_row *row, typed_cell *cell, span name, span value) {
    if (cell->state != CELL_MISSING && cell->state != CELL_OF_OTHERS) return 0;
    if (cell->more == MOST_OTHERS) return 0;
    for (uint64_t place = 0; place < cell->more; place++) {
        span other = row->others[place].name;
        if (other.size == name.size && !memcmp(other.begin, name.begin, name.size)) return 0;
    }
    row->others[cell->more++] = (other_member){name, value};
    cell->others = row->others;
    cell->state = CELL_OF_OTHERS;
    /* quotes, a colon and a comma, in whose place the last one has a brace; and the first brace */
    cell->text_size += (uint32_t)(name.size + value.size) + 4 + (cell->more == 1);
    return 1;
}

static byte *put_others(byte *out, const typed_cell *cell) {
    byte before = '{';
    for (const other_member *other = cell->others; other < cell->others + cell->more; other++) {
        *out++ = before, *out++ = '"';
        memcpy(out, other->name.begin, other->name.size), out += other->name.size;
        *out++ = '"', *out++ = ':';
        memcpy(out, other->value.begin, other->value.size), out += other->value.size;
        before = ',';
    }
    *out++ = '}';
    return out;
}

int64_t read_typed_row(const byte *place, const byte *end, const byte *limit, int is_judged, const row_schema *schema,
                       const row_rules *rules, member *key, member *time, typed_row *row) {
    typed_cell *cells = row->cells;
    uint64_t expected = 0, members = 0, values = 0;
    int64_t array_bytes = 0;
    memset(cells, 0, schema->count * sizeof *cells);
    place = json_space(place);
    if (*place != '{') return NO_ROW;
    place = json_space(place + 1);
    if (*place == '}') goto close;
    for (;;) {
        int64_t column = (int64_t)expected;
        int is_key;
        span name = {0};
        if (UNLIKELY(++members > MOST_MEMBERS)) return NO_ROW; /* Python says what is wrong with it */
        if (LIKELY(expected < schema->count) && LIKELY(is_quoted_here(place, limit, &schema->columns[expected]))) {
            place += schema->columns[expected].quoted.size;
            is_key = column == schema->key_column;
        } else {
            int has_escape = 0;
            name.begin = place + 1;
            if (*place != '"') return NO_ROW;
            place = json_name(name.begin, limit, &has_escape);
            if (!place || has_escape) return NO_ROW;
            name.size = (uint64_t)(place - name.begin) - 1;
            place = json_space(place);
            if (*place++ != ':') return NO_ROW;
            column = column_of(schema, name.begin, name.size);
            if (column == MAY_BE_A_COLUMN || (column == NO_COLUMN && !schema->takes_unknown)) return NO_ROW;
            is_key = name.size == rules->key_name.size && !memcmp(name.begin, rules->key_name.begin, name.size);
        }
        place = json_space(place);

        typed_cell *cell = column == NO_COLUMN ? NULL : &cells[column];
        column_type type = cell ? (column_type)schema->columns[column].type : COLUMN_JSON;
        int64_t value_bytes = cell ? schema->columns[column].value_bytes : 0;
        if (cell && cell->state != CELL_MISSING) return NO_ROW; /* the last one of a name counts: Python finds it */
        if (cell && column == schema->overflow_column && !is_judged) return NO_ROW;
        const byte *behind = NULL;
        if (UNLIKELY(value_bytes) && *place == '[') {
            behind = read_array(place, end, limit, is_judged, type, cell);
            if (!behind) return NO_ROW;
            array_bytes += value_bytes * (int64_t)cell->more;
            values += cell->more + 1 + !cell->more; /* as rows/size.py counts them */
            if (values > MOST_VALUES) return NO_ROW;
            place = behind;
        } else if (type == COLUMN_INTEGER && !is_key && !value_bytes &&
                   LIKELY(behind = small_integer(place, &cell->integer))) {
            cell->state = CELL_THERE;
            place = behind;
        } else {
            member found;
            int has_escape = 0;
            const byte *begin = place;
            place = read_value(place, end, limit, is_judged, &found, &has_escape);
            if (!place || (cell && !set_cell(cell, type, &found, has_escape))) return NO_ROW;
            if (!cell && schema->overflow_column >= 0 &&
                !add_other(row, &cells[schema->overflow_column], name, (span){begin, (uint64_t)(place - begin)}))
                return NO_ROW;
            if (value_bytes) return NO_ROW; /* no array, and null is refused */
            if (is_key) {
                if (key->is_there || has_escape) return NO_ROW;
                *key = found;
            }
            if (column == schema->time_column) *time = found;
        }
        if (cell) expected = (uint64_t)column + 1;

        place = json_space(place);
        if (*place == '}') break;
        if (*place++ != ',') return NO_ROW;
        place = json_space(place);
    }
close:
    for (uint64_t column = 0; column < schema->count; column++)
        if (schema->columns[column].is_required && cells[column].state < CELL_THERE &&
            (int64_t)column != schema->time_column)
            return NO_ROW;
    return json_space(place + 1) == end ? array_bytes : NO_ROW;
}

/* Of a text that was judged, and ends with a line end: what read_typed_row says, whenever its time may be. */
EXPORT int64_t array_bytes_of(const byte *text, uint64_t size, const row_schema *schema, const row_rules *rules) {
    typed_row row;
    member key = {0}, time = {0};
    if (!size || text[size - 1] != '\n') return NO_ROW;
    return read_typed_row(text, text + size - 1, text + size, 1, schema, rules, &key, &time, &row);
}

/* The row of a record that was found: it is read as before, in a text that ends with a line end. */
static void read_again(const row_schema *schema, const row_rules *rules, const row_places *found, uint32_t index,
                       typed_row *row) {
    const byte *text = found->payloads[index], *end = text + found->sizes[index];
    member key = {0}, time = {0};
    read_typed_row(text, end, end + 1, 1, schema, rules, &key, &time, row);
    typed_cell *own = &row->cells[schema->time_column];
    if (own->state < CELL_THERE) *own = (typed_cell){.integer = found->times_us[index], .state = CELL_THERE};
}

void add_cells(const row_schema *schema, const typed_cell *cells, typed_layout *layout) {
    for (uint64_t column = 0; column < schema->count; column++) {
        const typed_cell *cell = &cells[column];
        const typed_column *own = &schema->columns[column];
        if (own->value_bytes)
            layout[column].array_values += cell->more, layout[column].text_bytes += cell->text_size;
        else if (cell->state < CELL_THERE)
            layout[column].nulls += (int64_t)column != schema->time_column;
        else
            layout[column].text_bytes += text_bytes_of((column_type)own->type, cell);
    }
}

/* How many cells of each column are null, how many bytes of text the others have, and how many values its arrays. */
EXPORT void measure_typed(const row_schema *schema, const row_rules *rules, const row_places *found,
                          const uint32_t *indices, uint64_t count, typed_layout *layout) {
    typed_row row;
    for (uint64_t column = 0; column < schema->count; column++) layout[column] = (typed_layout){0};
    for (uint64_t place = 0; place < count; place++) {
        read_again(schema, rules, found, indices[place], &row);
        add_cells(schema, row.cells, layout);
    }
}

static inline void put_bit(byte *bits, uint64_t place) { bits[place / 8] = (byte)(bits[place / 8] | 1u << place % 8); }

static inline void put_cell(byte *out, column_type type, const typed_cell *cell, typed_layout *at, uint64_t place) {
    int is_null = cell->state < CELL_THERE;
    int64_t integer = is_null ? 0 : cell->integer;
    int32_t day;
    switch (type) {
    case COLUMN_TEXT:
    case COLUMN_JSON:
        if (!is_null) {
            byte *begin = out + at->values + at->written;
            byte *end = begin + cell->text_size;
            if (cell->state == CELL_OF_OTHERS)
                end = put_others(begin, cell);
            else if (cell->state == CELL_WITH_ESCAPES)
                end = put_unescaped(begin, cell->text, cell->text_size);
            else
                memcpy(begin, cell->text, cell->text_size);
            at->written += (uint64_t)(end - begin);
        }
        put_offset(out + at->offsets, place + 1, at->written);
        return;
    case COLUMN_BOOLEAN:
        if (integer) put_bit(out + at->values, place);
        return;
    case COLUMN_DATE:
        day = (int32_t)integer;
        memcpy(out + at->values + place * sizeof day, &day, sizeof day);
        return;
    case COLUMN_NUMERIC:
        if (is_null) return;
        memcpy(out + at->values + place * 2 * sizeof integer, &integer, sizeof integer);
        memcpy(out + at->values + (place * 2 + 1) * sizeof integer, &cell->more, sizeof cell->more);
        return;
    case COLUMN_FLOAT: /* which has as many bits */
    case COLUMN_INTEGER:
    case COLUMN_TIMESTAMP:
        memcpy(out + at->values + place * sizeof integer, &integer, sizeof integer);
    }
}

/* The values of an array, which was read before, in a text that ends with a line end at `end`. */
static void put_array(byte *out, column_type type, const typed_cell *cell, typed_layout *at, const byte *end) {
    const byte *place = cell->text;
    for (uint64_t left = cell->more; left; left--) {
        typed_cell value;
        place = json_space(json_space(place) + 1); /* behind the bracket, or the comma */
        place = read_array_value(place, end, end + 1, 1, type, &value);
        if (!place) return;
        put_cell(out, type, &value, at, at->values_written++);
    }
}

/* The body of a record batch of these rows, `body_bytes` long; `layout` says where each column's buffers begin, and is
 * what measure_typed has said otherwise. */
EXPORT void write_typed(const row_schema *schema, const row_rules *rules, const row_places *found,
                        const uint32_t *indices, uint64_t count, typed_layout *layout, uint64_t body_bytes, byte *out) {
    typed_row row;
    memset(out, 0, body_bytes);
    for (uint64_t column = 0; column < schema->count; column++) layout[column].written = layout[column].values_written = 0;
    for (uint64_t place = 0; place < count; place++) {
        uint32_t index = indices[place];
        read_again(schema, rules, found, index, &row);
        for (uint64_t column = 0; column < schema->count; column++) {
            column_type type = (column_type)schema->columns[column].type;
            const typed_cell *cell = &row.cells[column];
            typed_layout *at = &layout[column];
            if (schema->columns[column].value_bytes) {
                put_array(out, type, cell, at, found->payloads[index] + found->sizes[index]);
                put_offset(out + at->arrays, place + 1, at->values_written);
                continue;
            }
            if (at->nulls && cell->state >= CELL_THERE) put_bit(out + at->validity, place);
            put_cell(out, type, cell, at, place);
        }
    }
}

/* Inputs for targets.c where the compiler has no libFuzzer: made up, taken from the corpus, and mutated.
 *
 *     standalone TARGET RUNS SECONDS SEED FINDING [INPUT…]
 *
 * Ends after so many runs, or after so many seconds unless these are 0. Each input is kept in the file FINDING while it
 * runs, so that what ends the process can be repeated: standalone TARGET 0 0 0 FINDING INPUT.
 */
#include "targets.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <fcntl.h>
#include <unistd.h>

typedef uint8_t byte;
enum { LONGEST = 64 * 1024, MOST_INPUTS = 10000 };

typedef struct {
    byte *text;
    uint64_t size;
} input;

static input corpus[MOST_INPUTS];
static uint64_t corpus_size;
static uint64_t state;

static uint64_t below(uint64_t end) { return number_below(&state, end); }

static void fail(const char *what) {
    perror(what);
    exit(2);
}

static const char *const PIECES[] = {
    "{", "}", "[", "]", ",", ":", "\"", "\\", "\\\\", "\\\"", "\\u00e9", "\\ud800", "\t", "\n", "\r", " ", "0", "-1",
    "1.5e3", "true", "null", "\"time\":", "\"player_id\":", "\"a1b2\"", "\"2023-11-14T22:13:20Z\"", "\xc3\xa9",
    "\xf0\x9f\x98\x80", "\xed\xa0\x80", "\xff", "\xe2\x82", "\xf0\x9f", "QUJD", "QUI=", "QQ==", "\"data\":\"",
    "\"partitionKey\":", "\"records\":[", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "[[[[[[[[[[[[[[[[[[[[[",
    "{\"a\":{\"a\":{\"a\":", "\x7f", "\x1f", "\x1e", "\"score\":", "\"SCORE\":1,", "\"N\xc3\xa4me\":\"x\"", "1e400",
    "9223372036854775808", "\"2024-02-29\"", "bad", "\"tags\":[", "\"prices\":[\"1.5\",", "9999999999999999999999999999",
    ".5", "e-12", "\"-0.", "[]", "],",
};
enum { PIECE_COUNT = sizeof PIECES / sizeof *PIECES };

static uint64_t put_text(byte *out, const char *text) {
    memcpy(out, text, strlen(text));
    return strlen(text);
}

/* Changes, cuts off, puts in, takes out or repeats a few bytes, in room for twice as many and 400. */
static uint64_t mutated(byte *text, uint64_t size) {
    for (uint64_t times = 1 + below(4); times; times--) {
        uint64_t at = below(size + 1), length = below(20);
        const char *piece = PIECES[below(PIECE_COUNT)];
        if (length > size - at) length = size - at;
        switch (below(6)) {
        case 0:
            if (at < size) text[at] = (byte)below(256);
            break;
        case 1:
            if (!below(4)) size = at;
            break;
        case 2:
            memmove(text + at + length, text + at, size - at);
            size += length;
            break;
        case 3:
            memmove(text + at, text + at + length, size - at - length);
            size -= length;
            break;
        default:
            memmove(text + at + strlen(piece), text + at, size - at);
            size += put_text(text + at, piece);
        }
    }
    return size;
}

static const char *const MEMBERS[] = {
    "\"score\":-9223372036854775807,", "\"score\":12345678901234567890,", "\"score\":null,", "\"ratio\":1.25,",
    "\"ratio\":0.30000000000000004,", "\"ratio\":-1e-300,", "\"won\":true,", "\"won\":false,",
    "\"born\":\"2024-02-29\",", "\"seen\":\"2023-11-14T22:13:20.123456Z\",", "\"seen\":\"2023-11-14T22:13:20.1Z\",",
    "\"more\":{\"a\":[1, 2]},", "\"more\":\"\\ud83d\\ude00\",", "\"extra\":1,", "\"Score\":1,",
    "\"N\xc3\xa4me\":\"x\",", "\"N\xc3\x84ME\":\"x\",", "\"a_column_with_a_long_name\":7,",
    "\"price\":-12.3456789015,", "\"price\":\"99999999999999999999999999999.9999999994\",", "\"price\":1E-9,",
    "\"prices\":[1, \"2.5\", -3e5],", "\"tags\":[\"a\",\"\\u20ac\", \"\"],", "\"tags\":[],", "\"scores\":[1,-2 ,3.0],",
    "\"scores\":[7,77],", "\"wins\":[true,false,true,true,true,true,true,true,true],", "\"days\":[\"2024-02-29\"],",
    "\"ratios\":[0.5,\"NaN\",1e300],", "\"visits\":[\"2023-11-14T22:13:20Z\"],", "\"tags\":null,",
};
enum { MEMBER_COUNT = sizeof MEMBERS / sizeof *MEMBERS };

static uint64_t some_text(byte *out) {
    uint64_t size = 0;
    for (uint64_t count = below(120); count; count--) {
        uint64_t what = below(12);
        if (what == 0)
            size += put_text(out + size, below(2) ? "\\\"" : below(2) ? "\\\\" : below(2) ? "\\ud83d\\ude00" : "\\u20ac");
        else if (what == 1)
            size += put_text(out + size, "\xc3\xa9");
        else
            out[size++] = (byte)('a' + below(26));
    }
    return size;
}

/* Less than 4,000 bytes. */
static uint64_t some_payload(byte *out) {
    uint64_t size = 0;
    if (!below(5)) {
        for (uint64_t count = below(20); count; count--) size += put_text(out + size, PIECES[below(PIECE_COUNT)]);
        return size;
    }
    size += (uint64_t)sprintf((char *)out, "{\"player_id\":\"%c%x\",", "0123456789abcdefABCDEFg"[below(23)],
                              (unsigned)below(1u << 31));
    if (below(4))
        size += (uint64_t)sprintf((char *)out + size, "\"time\":\"20%02u-%02u-%02uT22:13:20%sZ\",", (unsigned)below(30),
                                  (unsigned)below(14), (unsigned)below(33), below(2) ? ".123" : "");
    if (below(2))
        for (uint64_t at = below(9); at < MEMBER_COUNT; at += 1 + below(9)) size += put_text(out + size, MEMBERS[at]);
    size += put_text(out + size, "\"note\":\"");
    size += some_text(out + size);
    size += put_text(out + size, "\"");
    for (uint64_t count = below(3); count; count--) out[size++] = below(2) ? '\t' : ' ';
    out[size++] = '}';
    if (!below(3))
        for (uint64_t count = below(40); count; count--) out[size++] = below(2) ? '\t' : ' ';
    return below(3) ? size : mutated(out, size);
}

static uint64_t some_payloads(byte *out) {
    uint64_t size = some_payload(out);
    for (uint64_t more = below(5); more; more--) {
        out[size++] = SEPARATOR;
        size += some_payload(out + size);
    }
    return size;
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

static uint64_t some_base64(byte *out) {
    byte some[8000];
    uint64_t size = put_base64(out, some, some_payload(some));
    return below(2) ? size : mutated(out, size);
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

static uint64_t some_message(byte *out) {
    byte some[8000];
    uint64_t size = (uint64_t)sprintf((char *)out, "{\"action\":\"processRecords\",\"millisBehindLatest\":%s,\"records\":[",
                                      below(2) ? "null" : "123");
    for (uint64_t index = 0, count = below(6); index < count; index++) {
        size += put_text(out + size, index ? ",{\"data\":\"" : "{\"data\":\"");
        size += put_base64(out + size, some, some_payload(some));
        size += put_text(out + size, "\",\"partitionKey\":");
        size += put_key(out + size);
        size += (uint64_t)sprintf((char *)out + size,
                                  ",\"sequenceNumber\":\"4957%u\",\"subSequenceNumber\":%u,"
                                  "\"approximateArrivalTimestamp\":17%011llu,\"action\":\"record\"}",
                                  (unsigned)below(1u << 31), (unsigned)below(3),
                                  (unsigned long long)below(100000000000));
    }
    size += put_text(out + size, "]}");
    if (below(2)) size = mutated(out, size);
    if (below(20) || !size) out[size++] = '\n';
    return size;
}

static uint64_t some_input(const char *target, byte *out) {
    for (int place = 0; place < CHOICE_BYTES; place++) out[place] = (byte)below(256);
    if (corpus_size && below(2)) {
        const input *from = &corpus[below(corpus_size)];
        memcpy(out, from->text, from->size);
        return mutated(out, from->size);
    }
    byte *content = out + CHOICE_BYTES;
    if (!strcmp(target, "messages")) return CHOICE_BYTES + some_message(content);
    if (!strcmp(target, "base64")) return CHOICE_BYTES + some_base64(content);
    return CHOICE_BYTES + some_payloads(content);
}

static void read_input(const char *name) {
    FILE *file = fopen(name, "rb");
    if (!file) fail(name);
    byte *text = malloc(LONGEST);
    uint64_t size = fread(text, 1, LONGEST, file);
    fclose(file);
    if (corpus_size < MOST_INPUTS) corpus[corpus_size++] = (input){text, size};
}

/* Written by the kernel, whatever becomes of this process. */
static byte *kept_in(const char *name) {
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (file < 0 || ftruncate(file, 4 * LONGEST)) fail(name);
    byte *memory = mmap(NULL, 4 * LONGEST, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (memory == MAP_FAILED) fail(name);
    return memory;
}

static void run(byte *kept, const byte *text, uint64_t size) {
    uint64_t with_size = size;
    memcpy(kept, &with_size, sizeof with_size);
    memcpy(kept + sizeof with_size, text, size);
    LLVMFuzzerTestOneInput(text, size);
}

int main(int count, char **arguments) {
    static byte made[4 * LONGEST];
    if (count < 6 || !choose_target(arguments[1])) {
        fprintf(stderr, "standalone TARGET RUNS SECONDS SEED FINDING [INPUT...]\n");
        return 2;
    }
    long runs = atol(arguments[2]), seconds = atol(arguments[3]);
    state = strtoull(arguments[4], NULL, 10) * 2 + 88172645463325253u;
    byte *kept = kept_in(arguments[5]);
    for (int place = 6; place < count; place++) read_input(arguments[place]);
    for (uint64_t place = 0; place < corpus_size; place++) run(kept, corpus[place].text, corpus[place].size);
    time_t end = time(NULL) + seconds;
    uint64_t done = corpus_size;
    for (; runs > 0 && (!seconds || time(NULL) < end); runs--, done++) run(kept, made, some_input(arguments[1], made));
    unlink(arguments[5]);
    printf("%llu inputs", (unsigned long long)done);
    for (int place = 0; place < SURE_ABOUT; place++)
        if (was_sure[place].times) printf(", %llu %s", (unsigned long long)was_sure[place].times, was_sure[place].name);
    printf("\n");
    return 0;
}

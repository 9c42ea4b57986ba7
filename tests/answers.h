/*
 * answers.h - reading tests/golden/layers.txt, and the values that both sides
 * make from a name (see tests/golden/layers.py).
 */
#ifndef WEFT_TESTS_ANSWERS_H
#define WEFT_TESTS_ANSWERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWER_PARAMS = 24 };

typedef struct answer {
    char name[32];
    int nparams, count;
    double param[ANSWER_PARAMS];
    double *value; /* [count]; owned */
} answer;

static inline uint32_t crc32_of(uint32_t crc, const void *data, size_t n)
{
    const unsigned char *p = data;

    crc = ~crc;
    while (n--) {
        crc ^= *p++;
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
    }
    return ~crc;
}

/* Values in [-scale, scale) that depend on the name and the place alone;
 * element 0 of `to` is element `first` of the whole. */
static inline void fill_from(const char *name, float *to, size_t first,
                             size_t n, float scale)
{
    const uint32_t seed = crc32_of(0, name, strlen(name));

    for (size_t i = 0; i < n; i++) {
        uint32_t x = seed + (uint32_t)(first + i) * 0x9e3779b9u;

        x = (x ^ x >> 16) * 0x7feb352du;
        x = (x ^ x >> 15) * 0x846ca68bu;
        x ^= x >> 16;
        to[i] = ((float)(x >> 8) / 0x1p23f - 1) * scale;
    }
}

static inline float *fill_new(const char *name, size_t n, float scale)
{
    float *v = malloc((n + 1) * sizeof *v);

    if (!v) abort();
    fill_from(name, v, 0, n, scale);
    return v;
}

static inline FILE *answers_open(void)
{
    FILE *f = fopen(WEFT_SOURCE_DIR "/tests/golden/layers.txt", "r");

    if (!f) {
        perror("layers.txt");
        abort();
    }
    return f;
}

static inline bool read_counted(FILE *f, int *count, double *to, int most)
{
    if (fscanf(f, "%d", count) != 1 || *count < 0 || *count > most)
        return false;
    for (int i = 0; i < *count; i++)
        if (fscanf(f, "%lf", &to[i]) != 1) return false;
    return true;
}

/* The next record; false at the end. Aborts on a damaged file. */
static inline bool answers_next(FILE *f, answer *a)
{
    enum { MOST = 1 << 16 };

    if (fscanf(f, "%31s", a->name) != 1) return false;
    a->value = malloc(MOST * sizeof *a->value);
    if (!a->value || !read_counted(f, &a->nparams, a->param, ANSWER_PARAMS) ||
        !read_counted(f, &a->count, a->value, MOST))
        abort();
    return true;
}

/* The largest |got - answer| / (1 + |answer|). */
static inline double answer_distance(const answer *a, const float *got)
{
    double most = 0;

    for (int i = 0; i < a->count; i++) {
        const double d = (double)got[i] - a->value[i];
        const double e = (d < 0 ? -d : d) /
                         (1 + (a->value[i] < 0 ? -a->value[i] : a->value[i]));
        if (!(e <= most)) most = e;
    }
    return most;
}

#endif

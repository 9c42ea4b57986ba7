/*
 * A checkpoint: opened, compared, and what is handed out looked at. The fuzzer
 * would never guess a hash, so the right one is put in where there is room.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "launch/checkpoint.h"
#include "launch/checkpoint_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { IMAGES = 100, ROWS = 2, COLUMNS = 2, CHANNELS = 1, STEPS = 4 };

static uint64_t text(uint64_t h, const weft_st *st, const char *key)
{
    const char *t = weft_st_metadata(st, key);

    return t ? weft_fnv(h, t, strlen(t) + 1) : h;
}

/* As a writer would have it. */
static uint64_t hash_of(const weft_st *st)
{
    static const char *const key[] = {"identity", "weights", "done", "items"};
    uint64_t h = weft_check_start("weft checkpoint 1");

    for (int i = 0; i < 4; i++) h = text(h, st, key[i]);
    for (int i = 0; i < weft_st_count(st); i++) {
        const weft_st_tensor *t = weft_st_at(st, i);

        if (strcmp(t->name, "check") != 0)
            h += weft_fnv(weft_check_start(t->name), t->data, t->bytes);
    }
    return h;
}

/* Where the tensor lies in the file is not told: it is looked for. */
static void put_hash(const char *path, int fd, uint8_t *data, size_t bytes)
{
    const weft_st_tensor *check;
    weft_st *st;
    uint64_t h;

    if (weft_st_open(path, &st) != WEFT_OK) return;
    check = weft_st_find(st, "check");
    if (check && check->bytes == 8)
        for (size_t at = 0; at + 8 <= bytes; at++)
            if (memcmp(data + at, check->data, 8) == 0) {
                h = hash_of(st);
                WEFT_MUST(pwrite(fd, &h, 8, (off_t)at) == 8);
                break;
            }
    weft_st_close(st);
}

static void look_at(weft_checkpoint *c)
{
    static weft_noise_schedule schedule;
    static weft_solver *heun;
    static unsigned char done[IMAGES];
    const weft_solver_opts o = {.kind = WEFT_HEUN, .steps = STEPS};
    weft_checkpoint_fit fit = {heun, ROWS, COLUMNS, CHANNELS, IMAGES};
    weft_json *j;

    if (!heun) {
        WEFT_MUST(weft_json_parse("case", "{}", 2, &j) == WEFT_OK);
        WEFT_MUST(weft_noise_schedule_read(j, NULL, WEFT_HEUN, &schedule) ==
                  WEFT_OK);
        WEFT_MUST(weft_solver_create(&o, &schedule, &heun) == WEFT_OK);
        weft_json_free(j);
        fit.solver = heun;
    }
    (void)weft_checkpoint_done(c, IMAGES, done);
    (void)weft_checkpoint_same(c->identity, "{\"sample\":{\"steps\":4}}");
    if (weft_checkpoint_fits(c, &fit) != WEFT_OK) return;
    for (int i = 0; i < c->n; i++) {
        const weft_saved *s = &c->item[i];

        WEFT_MUST(s->image < IMAGES && s->step <= STEPS && s->draws == 1);
        WEFT_MUST(s->at >= 0 && s->at <= 2 * STEPS - 1);
        WEFT_MUST(s->x->bytes == ROWS * COLUMNS * CHANNELS * 4);
        WEFT_MUST(!s->density && !s->kept[0] && !s->kept[1] == !s->stage);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    const int fd = memfd_create("checkpoint", MFD_CLOEXEC);
    uint8_t *copy = malloc(bytes + 1);
    weft_checkpoint c;
    char path[64];

    WEFT_MUST(fd >= 0 && copy);
    memcpy(copy, data, bytes);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    WEFT_MUST(write(fd, copy, bytes) == (ssize_t)bytes);
    put_hash(path, fd, copy, bytes);
    if (weft_checkpoint_open(path, &c) == WEFT_OK) {
        look_at(&c);
        weft_checkpoint_close(&c);
    } else {
        WEFT_MUST(strncmp(weft_fail_text(), path, strlen(path)) == 0);
    }
    free(copy);
    close(fd);
    return 0;
}

/*
 * The checked exchange refuses, or shows not-a-number for, every mistake that
 * its header names: layers and transports that make them on purpose.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "core/checked.h"
#include "tests/team.h"

enum { BORDER, ALL, SLOTS, WIDTH = 8, ROWS = 4, UNITS = 4, SPARE = 1 };

/* What patch 1 does wrong in evaluation 2, or a transport from then on. */
typedef enum mistake {
    NONE,
    GETS_WITHOUT_PUT,
    AWAITS_WITHOUT_PUT,
    PUTS_TWICE,
    PUTS_WITHOUT_OPEN,
    OPENS_TWICE,
    LEAVES_OUT,
    DOES_NOT_GET,
    DONE_WITHOUT_GET,
    OTHER_ORDER,
    WRITES_AFTER_PUT,
    SENDS_OLD,   /* transport: what it was given the time before */
    SENDS_OTHER, /* transport: another slot's message */
} mistake;

static mistake what;
static _Atomic int wrong;

/* cmocka's asserts may not jump out of another thread. */
static void expect(bool ok) { wrong += !ok; }

/* ---- a lane -------------------------------------------------------------- */

typedef struct lane {
    weft_exchange *x;
    float *border, *all; /* [SPARE + mine + SPARE][WIDTH], the whole image */
    float *opened;
    int mine, columns;
} lane;

static void open_lane(lane *l, weft_exchange *x)
{
    const weft_slot_spec spec[SLOTS] = {
        {.reach = WEFT_REACH_BORDER,
         .class = WEFT_BORDER,
         .cell = {1, WIDTH / 2, WIDTH},
         .border = {1, 1, 1, 1},
         .n = 1,
         .pixel_bytes = sizeof(float),
         .layer = "conv"},
        {.reach = WEFT_REACH_ALL,
         .class = WEFT_KV,
         .cell = {1, WIDTH / 2, WIDTH},
         .n = 1,
         .pixel_bytes = sizeof(float),
         .layer = "look"},
    };
    int slot;

    *l = (lane){.x = x};
    for (int k = 0; k < SLOTS; k++)
        expect(weft_exchange_declare(x, &spec[k], &slot) == WEFT_OK);
    l->mine = x->slot[BORDER].mine.rows;
    l->columns = x->slot[BORDER].mine.columns;
    l->border = calloc((size_t)((l->mine + 2 * SPARE) * WIDTH), sizeof(float));
    l->all = calloc((size_t)(UNITS * WIDTH), sizeof(float));
    weft_exchange_bind(x, BORDER, l->border + SPARE * l->columns);
    weft_exchange_bind(x, ALL, l->all);
    expect(weft_exchange_settle(x) == WEFT_OK);
}

static void close_lane(lane *l)
{
    expect(weft_exchange_restart(l->x) == WEFT_OK);
    free(l->border);
    free(l->all);
}

static float *mine_of(const lane *l) { return l->border + SPARE * l->columns; }

static void fill(const lane *l, float *rows)
{
    for (int i = 0; i < l->mine * l->columns; i++)
        rows[i] = (float)(100 * l->x->t + l->x->cut.me);
}

static void put_border(lane *l)
{
    fill(l, mine_of(l));
    expect(weft_exchange_put(l->x, BORDER) == WEFT_OK);
}

static void put_all(lane *l)
{
    void *mine;

    expect(weft_exchange_open(l->x, ALL, &mine) == WEFT_OK);
    l->opened = mine;
    fill(l, mine);
    expect(weft_exchange_put(l->x, ALL) == WEFT_OK);
}

static weft_view get(lane *l, int slot)
{
    weft_view seen = {.n = 0};

    expect(weft_exchange_get(l->x, slot, &seen) == WEFT_OK);
    return seen;
}

static void done(lane *l)
{
    for (int k = 0; k < SLOTS; k++)
        expect(weft_exchange_done(l->x, k) == WEFT_OK);
}

/* ---- what is refused ----------------------------------------------------- */

/* The evaluation, up to a mistake among its puts. */
static void put_wrongly(lane *l, mistake m)
{
    weft_view seen;
    void *mine;
    bool here;

    if (m == GETS_WITHOUT_PUT) get(l, BORDER);
    if (m == AWAITS_WITHOUT_PUT)
        (void)weft_exchange_await(l->x, ALL, 0, true, &here);
    if (m == PUTS_WITHOUT_OPEN) (void)weft_exchange_put(l->x, ALL);
    if (m == OPENS_TWICE) (void)weft_exchange_open(l->x, ALL, &mine);
    if (m == OTHER_ORDER) put_all(l);
    put_border(l);
    if (m == PUTS_TWICE) put_border(l);
    if (m == LEAVES_OUT) {
        expect(weft_exchange_get(l->x, BORDER, &seen) == WEFT_OK);
        expect(weft_exchange_next(l->x) == WEFT_OK);
    }
    if (m != OTHER_ORDER) put_all(l);
    if (m == WRITES_AFTER_PUT) l->opened[0]++;
    if (m == DONE_WITHOUT_GET) (void)weft_exchange_done(l->x, BORDER);
}

static void live(void *arg, int patch, weft_exchange *x)
{
    lane l;

    (void)arg;
    open_lane(&l, x);
    for (int t = 0; t < 4; t++) {
        const mistake m = patch == 1 && t == 2 ? what : NONE;

        expect(weft_exchange_next(x) == WEFT_OK);
        put_wrongly(&l, m);
        get(&l, BORDER);
        if (m != DOES_NOT_GET) get(&l, ALL);
        if (m != DOES_NOT_GET) done(&l);
    }
    close_lane(&l);
}

static const weft_transport *honest;

enum { STAMP = 24 }; /* bytes behind a message, of what it says of itself */

static char *stamp_of(const weft_mail *m)
{
    return m->parcel->at + m->of->parcel->bytes;
}

/* Patch 0's messages of slot 1 say that they are the one before, or of slot 0.
 */
static weft_status start_wrongly(weft_exchange *x, weft_mail *m)
{
    static char kept[STAMP], now[STAMP];
    const bool mine = m->out && m->n && x->cut.me == 0 && x->t >= 1;
    const int of = what == SENDS_OLD ? ALL : BORDER;

    if (mine) memcpy(now, stamp_of(m), STAMP);
    if (mine && x->t >= 2 && m->tag == ALL) memcpy(stamp_of(m), kept, STAMP);
    if (mine && m->tag == of) memcpy(kept, now, STAMP);
    return honest->start(x, m);
}

static void run_team(int n, weft_schedule sched, weft_team_fn *fn)
{
    weft_team *team = malloc(sizeof *team);
    weft_transport lying;
    const int first[] = {0, 2, 4}, strips[] = {0, 1, 2};
    const weft_cut cut = {
        .n = n, .first = first, .across = n / 2, .strip = strips};

    weft_team_init(team, &cut, sched);
    for (int p = 0; p < n; p++) {
        weft_exchange *x = &team->member[p].base;

        WEFT_MUST(weft_exchange_check(x) == WEFT_OK);
        honest = x->checks->inner;
        lying = *honest;
        lying.start = start_wrongly;
        if (what == SENDS_OLD || what == SENDS_OTHER) x->checks->inner = &lying;
    }
    weft_team_run(team, fn, NULL);
    weft_team_release(team);
    free(team);
}

/* Its standard error, and how it ended. */
static int run_apart(weft_schedule sched, char *said, size_t room)
{
    int ends[2], state;
    size_t n = 0;
    ssize_t got;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};

        setrlimit(RLIMIT_CORE, &none);
        alarm(30);
        dup2(ends[1], STDERR_FILENO);
        run_team(2, sched, live);
        _exit(0);
    }
    close(ends[1]);
    while ((got = read(ends[0], said + n, room - 1 - n)) > 0) n += (size_t)got;
    close(ends[0]);
    said[n] = 0;
    assert_int_equal(waitpid(child, &state, 0), child);
    return state;
}

static const weft_schedule schedules[] = {
    {.lag = 0},
    {.warmup = 1, .lag = 1},
    {.warmup = 2, .lag = 2},
    {.warmup = 1, .lag = 1, .wire = WEFT_WIRE_INT8},
};
enum { SCHEDULES = sizeof schedules / sizeof *schedules, CODED = 3 };

static void expect_refused(mistake m, const char *words)
{
    /* Of a coded message, its floats do not leave. */
    const int n = m == WRITES_AFTER_PUT ? CODED : SCHEDULES;
    char said[4096];

    what = m;
    for (int i = 0; i < n; i++) {
        const int state = run_apart(schedules[i], said, sizeof said);

        if (!WIFSIGNALED(state) || WTERMSIG(state) != SIGABRT ||
            !strstr(said, words))
            fail_msg("mistake %d, schedule %d: state %d, \"%s\"", m, i, state,
                     said);
    }
    what = NONE;
}

static void nobody_is_refused_who_does_right(void **state)
{
    char said[4096];

    (void)state;
    for (int i = 0; i < SCHEDULES; i++) {
        assert_int_equal(run_apart(schedules[i], said, sizeof said), 0);
        assert_string_equal(said, "");
    }
}

static void calls_without_their_pair_are_refused(void **state)
{
    (void)state;
    expect_refused(GETS_WITHOUT_PUT,
                   "evaluation 2, conv (slot 0): get() without a put()");
    expect_refused(AWAITS_WITHOUT_PUT,
                   "look (slot 1): await() without a put()");
    expect_refused(PUTS_TWICE, "conv (slot 0): put() twice");
    expect_refused(PUTS_WITHOUT_OPEN, "look (slot 1): put() without open()");
    expect_refused(OPENS_TWICE, "look (slot 1): open() twice");
    expect_refused(LEAVES_OUT, "look (slot 1): the evaluation ends without");
    expect_refused(DOES_NOT_GET, "the evaluation ends without a get()");
    expect_refused(DONE_WITHOUT_GET, "conv (slot 0): done() without a get()");
}

static void another_order_of_puts_is_refused(void **state)
{
    (void)state;
    expect_refused(OTHER_ORDER, "differ in what was put before it");
}

static void rows_written_before_they_left_are_refused(void **state)
{
    (void)state;
    expect_refused(WRITES_AFTER_PUT, "was written over before it had left");
}

static void another_evaluations_rows_are_refused(void **state)
{
    (void)state;
    expect_refused(SENDS_OLD, "from patch 0 came what it put in evaluation");
}

static void another_slots_rows_are_refused(void **state)
{
    (void)state;
    expect_refused(SENDS_OTHER, "from patch 0 came a message of slot 0");
}

/* ---- what is not-a-number ------------------------------------------------ */

/* There with the address sanitizer, else NULL. */
int __asan_address_is_poisoned(void const volatile *at) __attribute__((weak));

/* Looks where it should not. */
__attribute__((no_sanitize("address"))) static float peek(const void *at)
{
    return *(const volatile float *)at;
}

static bool is_nothing(const void *at) { return isnan(peek(at)); }

/* Nothing, which the sanitizer does not let anybody see. */
static bool is_out_of_bounds(const void *at)
{
    return is_nothing(at) &&
           (!__asan_address_is_poisoned || __asan_address_is_poisoned(at));
}

static bool is_from(const lane *l, const void *at, int age, int patch)
{
    return fabsf(peek(at) - (float)(100 * (l->x->t - age) + patch)) < .5f;
}

/* The spare rows that neighbours fill. */
static void expect_spare(const lane *l, bool there, int age)
{
    const weft_exchange *x = l->x;
    const float *mine = mine_of(l);

    for (int down = -1; down <= 1; down += 2) {
        const int p = weft_cut_neighbour(&x->cut, x->cut.me, down, 0);
        const float *at = mine + (down < 0 ? -1 : l->mine) * l->columns;

        if (p < 0) continue;
        for (int i = 0; i < l->columns; i++)
            expect(there ? is_from(l, at + i, age, p) : is_nothing(at + i));
    }
}

static void expect_sides(const lane *l, const weft_view *v)
{
    const weft_exchange *x = l->x;

    for (int right = 0; right < 2; right++) {
        const char *at = v->side[right];
        const int p = weft_cut_neighbour(&x->cut, x->cut.me, 0, right ? 1 : -1);
        const int rows = l->mine + SPARE;

        expect((at != NULL) == (p >= 0));
        if (!at) continue;
        expect(is_from(l, at, v->age, p));
        expect(is_out_of_bounds(at + rows * (int)sizeof(float)));
        expect(is_out_of_bounds(at - 2 * (int)sizeof(float)));
    }
}

static void expect_parts(const lane *l, const weft_view *v, bool all)
{
    for (int p = 0; p < v->n; p++) {
        const char *at = v->part[p];
        const size_t n = weft_rect_pixels(&v->rect[p]);

        if (p == v->me || all)
            expect(is_from(l, at, p == v->me ? 0 : v->age, p));
        else
            expect(is_nothing(at) && is_nothing(at + (n - 1) * sizeof(float)));
        expect(is_out_of_bounds(at - sizeof(float)));
        expect(is_out_of_bounds(at + n * sizeof(float)));
    }
}

static _Atomic int looked;

/* Patch 0 looks before anybody else has put, so in step nobody's is here. */
static void look_first(lane *l)
{
    weft_view v;
    bool here;

    if (l->x->cut.me) {
        while (looked <= l->x->t) usleep(100);
        return;
    }
    expect_spare(l, false, 0);
    expect(weft_exchange_look(l->x, ALL, &v) == WEFT_OK);
    expect_parts(l, &v, false);
    /* Nor beside the view, in the memory that they are received into. */
    if (!l->x->sched.lag) expect(is_nothing(l->all + UNITS * WIDTH - 1));
    if (v.age == 0)
        expect(weft_exchange_await(l->x, ALL, 1, false, &here) == WEFT_OK &&
               !here);
    looked++;
    for (int p = 0; p < v.n; p++)
        expect(weft_exchange_await(l->x, ALL, p, true, &here) == WEFT_OK);
    expect_parts(l, &v, true);
}

static void watch(void *arg, int patch, weft_exchange *x)
{
    weft_view border, all;
    lane l;

    (void)arg, (void)patch;
    open_lane(&l, x);
    for (int t = 0; t < 6; t++) {
        expect(weft_exchange_next(x) == WEFT_OK);
        if (patch) look_first(&l);
        put_border(&l);
        put_all(&l);
        if (!patch) look_first(&l);
        border = get(&l, BORDER);
        all = get(&l, ALL);
        expect_spare(&l, true, border.age);
        expect_sides(&l, &border);
        expect_parts(&l, &all, true);
        done(&l);
        expect_spare(&l, false, 0);
        for (int i = 0; i < 2; i++)
            expect(!border.side[i] || is_out_of_bounds(border.side[i]));
        for (int p = 0; p < all.n; p++) expect(is_out_of_bounds(all.part[p]));
    }
    close_lane(&l);
}

static void nothing_is_seen_too_early_too_late_or_beyond(void **state)
{
    (void)state;
    for (int i = 0; i < SCHEDULES; i++)
        for (int n = 2; n <= 4; n += 2) {
            wrong = looked = 0;
            run_team(n, schedules[i], watch);
            assert_int_equal(wrong, 0);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_refused_who_does_right),
        cmocka_unit_test(calls_without_their_pair_are_refused),
        cmocka_unit_test(another_order_of_puts_is_refused),
        cmocka_unit_test(rows_written_before_they_left_are_refused),
        cmocka_unit_test(another_evaluations_rows_are_refused),
        cmocka_unit_test(another_slots_rows_are_refused),
        cmocka_unit_test(nothing_is_seen_too_early_too_late_or_beyond),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

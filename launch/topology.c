#include "launch/topology.h"

#include <hwloc.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The kernel's own limit is far below; a mask is 8 KiB. */
enum { MOST_CPUS = 65536 };

typedef union mask {
    cpu_set_t set;
    unsigned char bytes[MOST_CPUS / 8];
} mask;

/* A processor that the mask allows. `core` counts the cores in the machine's
 * order, `thread` the allowed hardware threads of one core. */
typedef struct unit {
    int cpu, core, thread;
} unit;

typedef struct units {
    unit *unit; /* [n], by core, then thread; owned */
    int n, cores;
} units;

static weft_status no_memory(void)
{
    return weft_fail(WEFT_ENOMEM, "out of memory");
}

/* Without an answer every processor counts as allowed. */
static void read_mask(mask *m)
{
    memset(m, 0, sizeof *m);
    if (sched_getaffinity(0, sizeof *m, &m->set) != 0)
        memset(m, 0xff, sizeof *m);
}

static bool allows(const mask *m, unsigned cpu)
{
    return cpu < MOST_CPUS && CPU_ISSET_S(cpu, sizeof *m, &m->set);
}

/* 64-bit FNV-1a. */
uint64_t weft_topology_mask(void)
{
    uint64_t hash = 0xcbf29ce484222325u;
    mask m;

    read_mask(&m);
    for (size_t i = 0; i < sizeof m; i++)
        hash = (hash ^ m.bytes[i]) * 0x100000001b3u;
    return hash;
}

/* ---- the machine ------------------------------------------------------------
 */

/* Cores, packages and memory are all that is asked for: no caches, no devices,
 * and not the x86 component, which visits every processor in turn. */
static weft_status load(const char *synthetic, hwloc_topology_t *t)
{
    if (hwloc_topology_init(t) != 0) return no_memory();
    hwloc_topology_set_all_types_filter(*t, HWLOC_TYPE_FILTER_KEEP_NONE);
    hwloc_topology_set_type_filter(*t, HWLOC_OBJ_CORE,
                                   HWLOC_TYPE_FILTER_KEEP_ALL);
    hwloc_topology_set_type_filter(*t, HWLOC_OBJ_PACKAGE,
                                   HWLOC_TYPE_FILTER_KEEP_ALL);
    if (synthetic == NULL) {
        hwloc_topology_set_components(
            *t, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
    } else if (hwloc_topology_set_synthetic(*t, synthetic) != 0) {
        hwloc_topology_destroy(*t);
        return weft_fail(WEFT_EINPUT, "\"%s\" describes no machine", synthetic);
    }
    if (hwloc_topology_load(*t) == 0) return WEFT_OK;
    hwloc_topology_destroy(*t);
    return weft_fail(WEFT_EIO, "the machine's processors cannot be read");
}

/* hwloc gives processors core by core. */
static weft_status list_units(hwloc_topology_t t, const mask *allowed,
                              units *out)
{
    const int n = hwloc_get_nbobjs_by_type(t, HWLOC_OBJ_PU);
    hwloc_obj_t last = NULL;
    units u = {calloc((size_t)n + 1, sizeof *u.unit), 0, 0};

    if (u.unit == NULL) return no_memory();
    for (int i = 0; i < n; i++) {
        hwloc_obj_t pu = hwloc_get_obj_by_type(t, HWLOC_OBJ_PU, (unsigned)i);
        hwloc_obj_t core =
            hwloc_get_ancestor_obj_by_type(t, HWLOC_OBJ_CORE, pu);
        if (core == NULL) core = pu;
        if (allowed != NULL && !allows(allowed, pu->os_index)) continue;
        const bool same = core == last;
        u.cores += !same;
        u.unit[u.n] = (unit){(int)pu->os_index, u.cores - 1,
                             same ? u.unit[u.n - 1].thread + 1 : 0};
        u.n++;
        last = core;
    }
    *out = u;
    return WEFT_OK;
}

static void describe(hwloc_topology_t t, const unit *share, int n,
                     weft_topology *out)
{
    hwloc_obj_t package = hwloc_get_obj_by_type(t, HWLOC_OBJ_PACKAGE, 0);
    const char *name = package != NULL
                           ? hwloc_obj_get_info_by_name(package, "CPUModel")
                           : NULL;
    hwloc_obj_t node = NULL;
    int nodes = 0;

    snprintf(out->package, sizeof out->package, "%s", name ? name : "");
    out->node_memory_bytes = hwloc_get_root_obj(t)->total_memory;
    out->numa = -1;
    while ((node = hwloc_get_next_obj_by_type(t, HWLOC_OBJ_NUMANODE, node))) {
        bool mine = false;
        for (int i = 0; i < n && !mine; i++)
            mine = hwloc_bitmap_isset(node->cpuset, (unsigned)share[i].cpu);
        if (mine) out->numa = nodes++ == 0 ? (int)node->os_index : -1;
    }
}

/* ---- my share ---------------------------------------------------------------
 */

static int part(int n, int i, int of) { return (int)((long)n * i / of); }

/* Whole cores where there are enough, else single processors, else nothing. */
static void cut_share(const units *all, int rank, int size, int *first,
                      int *end)
{
    const bool by_core = all->cores >= size;
    const int lo = part(by_core ? all->cores : all->n, rank, size);
    const int hi = part(by_core ? all->cores : all->n, rank + 1, size);
    int i = 0;

    if (all->n < size) {
        *first = *end = 0;
        return;
    }
    if (!by_core) {
        *first = lo;
        *end = hi;
        return;
    }
    while (i < all->n && all->unit[i].core < lo) i++;
    *first = i;
    while (i < all->n && all->unit[i].core < hi) i++;
    *end = i;
}

/* First hardware threads first, each time in the order of the cores. */
static int by_thread(const void *a, const void *b)
{
    const unit *x = a, *y = b;

    if (x->thread != y->thread) return x->thread - y->thread;
    return x->core - y->core;
}

static weft_status fill(const units *all, unit *share, int n, int want,
                        weft_topology *t)
{
    t->node_cpus = all->n;
    t->cpus = n;
    t->cores = 0;
    for (int i = 0; i < n; i++)
        t->cores += i == 0 || share[i].core != share[i - 1].core;
    t->threads = want > 0 ? want : n > 0 ? n : 1;
    if (t->threads > n) return WEFT_OK; /* bind nothing */
    t->cpu = malloc((size_t)t->threads * sizeof *t->cpu);
    if (t->cpu == NULL) return no_memory();
    qsort(share, (size_t)n, sizeof *share, by_thread);
    for (int i = 0; i < t->threads; i++) t->cpu[i] = share[i].cpu;
    return WEFT_OK;
}

static weft_status discover(const char *synthetic, const mask *allowed,
                            int rank, int size, int want, weft_topology *out)
{
    weft_topology made = {0};
    hwloc_topology_t t;
    units all = {0};
    int first, end;
    weft_status s;

    WEFT_TRY(load(synthetic, &t));
    s = list_units(t, allowed, &all);
    if (s == WEFT_OK) {
        cut_share(&all, rank, size, &first, &end);
        describe(t, all.unit + first, end - first, &made);
        s = fill(&all, all.unit + first, end - first, want, &made);
        free(all.unit);
    }
    hwloc_topology_destroy(t);
    if (s == WEFT_OK) *out = made;
    return s;
}

weft_status weft_topology_discover(int local_rank, int local_size,
                                   bool masks_shared, int want_threads,
                                   weft_topology *t)
{
    mask allowed;

    read_mask(&allowed);
    return discover(NULL, &allowed, masks_shared ? local_rank : 0,
                    masks_shared ? local_size : 1, want_threads, t);
}

weft_status weft_topology_synthetic(const char *synthetic, int local_rank,
                                    int local_size, bool masks_shared,
                                    int want_threads, weft_topology *t)
{
    return discover(synthetic, NULL, masks_shared ? local_rank : 0,
                    masks_shared ? local_size : 1, want_threads, t);
}

weft_status weft_topology_copy(const weft_topology *from, weft_topology *t)
{
    const size_t bytes = (size_t)from->threads * sizeof *from->cpu;

    *t = *from;
    if (!from->cpu) return WEFT_OK;
    t->cpu = malloc(bytes);
    if (!t->cpu) return weft_fail(WEFT_ENOMEM, "out of memory");
    memcpy(t->cpu, from->cpu, bytes);
    return WEFT_OK;
}

void weft_topology_release(weft_topology *t)
{
    free(t->cpu);
    *t = (weft_topology){0};
}

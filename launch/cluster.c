#include "launch/cluster.h"

#include <stdlib.h>
#include <string.h>

#include "core/io/file.h"
#include "launch/config_tree.h"
#include "launch/suggest.h"
#include "launch/topology.h"

enum { MOST_BYTES = 65536, MOST_PROCESSORS = 8192 };

/* Everything that a file says, in its own units. */
typedef struct described {
    double nodes, ranks_per_node, memory_gib, processors, memory_gbytes;
    struct {
        double latency_us, gbytes, message_us, byte_ns;
        bool half;
    } node, network;
} described;

typedef enum kind { MAP, NUMBER, TEXT } kind;

/* Which keys there are, with their ranges. */
typedef struct key {
    const char *path;
    kind kind;
    bool required, whole;
    double min, max;
    size_t at; /* in `described`, of a number */
} key;

#define AT(member) offsetof(described, member)
#define NUM(path, required, min, max, member)                                  \
    {                                                                          \
        path, NUMBER, required, false, min, max, AT(member)                    \
    }
#define LINK(name, link)                                                       \
    {"links." name, MAP, true, false, 0, 0, 0},                                \
        {"links." name ".duplex", TEXT, false, false, 0, 0, 0},                \
        NUM("links." name ".latency_us", true, 0, 1e7, link.latency_us),       \
        NUM("links." name ".gbytes_per_s", true, 1e-6, 1e6, link.gbytes),      \
        NUM("links." name ".message_us", false, 0, 1e6, link.message_us),      \
        NUM("links." name ".byte_ns", false, 0, 1e6, link.byte_ns)

static const key keys[] = {
    {"nodes", NUMBER, true, true, 1, 65536, AT(nodes)},
    {"ranks_per_node", NUMBER, true, true, 1, 1024, AT(ranks_per_node)},
    {"topology", TEXT, true, false, 0, 0, 0},
    {"memory_gib", NUMBER, false, false, 1e-3, 1e7, AT(memory_gib)},
    {"device", MAP, true, false, 0, 0, 0},
    {"device.processors", NUMBER, true, false, 1e-3, 1024, AT(processors)},
    {"device.gflops", MAP, true, false, 0, 0, 0},
    {"device.memory_gbytes_per_s", NUMBER, true, false, 1e-3, 1e6,
     AT(memory_gbytes)},
    {"links", MAP, true, false, 0, 0, 0},
    LINK("node", node),
    LINK("network", network),
};

enum { KEYS = sizeof keys / sizeof *keys };

/* ---- keys and values ----------------------------------------------------- */

static const key *find_key(const char *path)
{
    for (int i = 0; i < KEYS; i++)
        if (!strcmp(keys[i].path, path)) return &keys[i];
    return NULL;
}

static weft_status unknown_key(const weft_tree *t, const char *path)
{
    const char *known[KEYS];
    char hint[512];

    for (int i = 0; i < KEYS; i++) known[i] = keys[i].path;
    return weft_place_fail(
        &t->key_place, "unknown key \"%.80s\"%s", path,
        weft_suggest_text(path, known, KEYS, hint, sizeof hint));
}

static weft_status read_number(const weft_tree *t, const char *path, double min,
                               double max, double *out)
{
    if (t->kind != WEFT_TREE_TEXT || t->quoted ||
        !weft_text_number(t->text, out))
        return weft_place_fail(&t->place, "%s: expected a number", path);
    if (*out >= min && *out <= max) return WEFT_OK;
    return weft_place_fail(&t->place,
                           "%s: %.80s is out of range, expected %g to %g", path,
                           t->text, min, max);
}

static weft_status read_value(const weft_tree *t, const key *k, described *d)
{
    double *to = (double *)((char *)d + k->at);

    if (k->kind == MAP) {
        if (t->kind == WEFT_TREE_MAP) return WEFT_OK;
        return weft_place_fail(&t->place, "%s: expected a mapping", k->path);
    }
    if (k->kind == TEXT) {
        if (t->kind == WEFT_TREE_TEXT) return WEFT_OK;
        return weft_place_fail(&t->place, "%s: expected text", k->path);
    }
    WEFT_TRY(read_number(t, k->path, k->min, k->max, to));
    if (!k->whole || weft_text_whole(t->text)) return WEFT_OK;
    return weft_place_fail(&t->place, "%s: expected a whole number", k->path);
}

/* Every key of a mapping is one of `keys`; classes of layers are free. */
static weft_status read_map(const weft_tree *map, const char *above,
                            described *d)
{
    for (const weft_tree *t = map->first; t; t = t->next) {
        char path[96];
        const key *k;

        snprintf(path, sizeof path, "%s%s%.40s", above, *above ? "." : "",
                 t->key);
        k = find_key(path);
        if (!k) return unknown_key(t, path);
        WEFT_TRY(read_value(t, k, d));
        if (k->kind == MAP && strcmp(path, "device.gflops"))
            WEFT_TRY(read_map(t, path, d));
    }
    return WEFT_OK;
}

static weft_status check_missing(const weft_tree *root)
{
    for (int i = 0; i < KEYS; i++)
        if (keys[i].required && !weft_tree_find(root, keys[i].path))
            return weft_place_fail(&root->place, "%s is missing", keys[i].path);
    return WEFT_OK;
}

/* ---- parts --------------------------------------------------------------- */

static weft_status read_speeds(const weft_tree *root, weft_cluster *c)
{
    const weft_tree *map = weft_tree_find(root, "device.gflops");

    for (const weft_tree *t = map->first; t; t = t->next) {
        weft_cost_speed *s = &c->speed[c->nspeeds];

        if (c->nspeeds == WEFT_COST_SPEEDS)
            return weft_place_fail(&t->key_place,
                                   "device.gflops: more than %d classes",
                                   WEFT_COST_SPEEDS);
        if (strlen(t->key) >= sizeof s->kind)
            return weft_place_fail(&t->key_place,
                                   "device.gflops: \"%.80s\" is no class of "
                                   "layers",
                                   t->key);
        snprintf(s->kind, sizeof s->kind, "%s", t->key);
        WEFT_TRY(read_number(t, "device.gflops", 1e-6, 1e9, &s->flops_per_s));
        s->flops_per_s *= 1e9;
        c->nspeeds++;
    }
    if (c->nspeeds) return WEFT_OK;
    return weft_place_fail(&map->place, "device.gflops: no class is given");
}

static weft_status read_duplex(const weft_tree *root, const char *path,
                               bool *half)
{
    const weft_tree *t = weft_tree_find(root, path);

    *half = t && !strcmp(t->text, "half");
    if (!t || *half || !strcmp(t->text, "full")) return WEFT_OK;
    return weft_place_fail(&t->place,
                           "%s: expected full or half, found "
                           "\"%.80s\"",
                           path, t->text);
}

/* A synthetic text multiplies its numbers; hwloc would make all of that. */
static weft_status check_size(const weft_tree *t)
{
    double product = 1;

    for (const char *at = t->text; (at = strchr(at, ':')); at++)
        product *= strtod(at + 1, NULL);
    if (product >= 1 && product <= MOST_PROCESSORS) return WEFT_OK;
    return weft_place_fail(&t->place,
                           "topology: \"%.80s\" is not of 1 to %d processors",
                           t->text, MOST_PROCESSORS);
}

/* Processors that a rank computes on; less than one where ranks share `cores`.
 */
static weft_status read_topology(const weft_tree *root, int ranks, int threads,
                                 double *processors, int *cores)
{
    const weft_tree *t = weft_tree_find(root, "topology");
    weft_topology found;

    *processors = 0;
    WEFT_TRY(check_size(t));
    if (weft_topology_synthetic(t->text, 0, ranks, true, threads, &found) !=
        WEFT_OK)
        return weft_place_fail(&t->place,
                               "topology: hwloc does not understand \"%.80s\"; "
                               "\"pack:2 core:8 pu:1\" is a node of 16 cores",
                               t->text);
    *processors = found.cpus ? found.threads : (double)found.node_cpus / ranks;
    *cores = found.cpus ? 0 : found.node_cpus;
    weft_topology_release(&found);
    return WEFT_OK;
}

/* ---- reading ------------------------------------------------------------- */

static weft_cost_link link_of(double latency_us, double gbytes,
                              double message_us, double byte_ns, bool half)
{
    return (weft_cost_link){.latency_s = latency_us * 1e-6,
                            .bytes_per_s = gbytes * 1e9,
                            .message_s = message_us * 1e-6,
                            .byte_s = byte_ns * 1e-9,
                            .half_duplex = half};
}

static void scale(weft_cluster *c, double by)
{
    for (int i = 0; i < c->nspeeds; i++) c->speed[i].flops_per_s *= by;
    c->memory_bytes_per_s *= by;
}

static weft_status take(const weft_tree *root, int threads, weft_cluster *c)
{
    described d = {0};
    double processors;

    WEFT_TRY(read_map(root, "", &d));
    WEFT_TRY(check_missing(root));
    WEFT_TRY(read_speeds(root, c));
    WEFT_TRY(read_duplex(root, "links.node.duplex", &d.node.half));
    WEFT_TRY(read_duplex(root, "links.network.duplex", &d.network.half));
    WEFT_TRY(read_topology(root, (int)d.ranks_per_node, threads, &processors,
                           &c->cores));
    c->nodes = (int)d.nodes;
    c->ranks_per_node = (int)d.ranks_per_node;
    c->memory_bytes_per_s = d.memory_gbytes * 1e9;
    c->node_bytes = d.memory_gib * 1073741824;
    c->inside = link_of(d.node.latency_us, d.node.gbytes, d.node.message_us,
                        d.node.byte_ns, d.node.half);
    c->between =
        link_of(d.network.latency_us, d.network.gbytes, d.network.message_us,
                d.network.byte_ns, d.network.half);
    scale(c, processors / d.processors);
    return WEFT_OK;
}

weft_status weft_cluster_read(const char *path, int threads, weft_cluster *c)
{
    weft_tree *root = NULL;
    char *text = NULL;
    size_t bytes;
    weft_status st = weft_file_read(path, MOST_BYTES, &text, &bytes);

    *c = (weft_cluster){0};
    if (st == WEFT_OK) st = weft_tree_parse(path, NULL, text, bytes, &root);
    if (st == WEFT_OK && root->kind != WEFT_TREE_MAP)
        st = weft_place_fail(&root->place, "expected a mapping");
    if (st == WEFT_OK) st = take(root, threads, c);
    weft_tree_free(root);
    free(text);
    return st == WEFT_EIO ? WEFT_EINPUT : st;
}

/* ---- writing ------------------------------------------------------------- */

static void write_link(const char *name, const weft_cost_link *l, FILE *to)
{
    fprintf(to,
            "  %s:\n    latency_us: %.3g\n    gbytes_per_s: %.4g\n"
            "    message_us: %.3g\n    byte_ns: %.3g\n    duplex: %s\n",
            name, l->latency_s * 1e6, l->bytes_per_s / 1e9, l->message_s * 1e6,
            l->byte_s * 1e9, l->half_duplex ? "half" : "full");
}

void weft_cluster_write(const weft_cluster *c, const weft_cluster_facts *facts,
                        FILE *to)
{
    fprintf(to,
            "# For weft plan CONFIG --ranks N --cluster FILE.%s\n"
            "nodes: %d\nranks_per_node: %d\n"
            "topology: \"%s\" # one node, as hwloc describes it\n",
            facts->note, c->nodes, c->ranks_per_node, facts->topology);
    if (c->node_bytes > 0)
        fprintf(to, "memory_gib: %.4g\n", c->node_bytes / 1073741824);
    fprintf(to,
            "device: # one rank, with all of them at work\n"
            "  processors: %.4g\n  gflops:\n",
            facts->processors);
    for (int i = 0; i < c->nspeeds; i++)
        fprintf(to, "    %s: %.4g\n", c->speed[i].kind,
                c->speed[i].flops_per_s / 1e9);
    fprintf(to, "  memory_gbytes_per_s: %.4g\n", c->memory_bytes_per_s / 1e9);
    fprintf(to, "links: # message_us, byte_ns: of a processor that computes\n");
    write_link("node", &c->inside, to);
    write_link("network", &c->between, to);
}

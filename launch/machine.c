#include "launch/machine.h"

#include "launch/cluster.h"

const char *const weft_costs_name[] = {"nominal", "cluster", "measured"};

weft_status weft_machine_find(const weft_config *c, int threads,
                              weft_machine *m)
{
    const weft_device *dev;

    *m = (weft_machine){.from = WEFT_COSTS_NOMINAL};
    if (c->parallel.cluster) {
        m->from = WEFT_COSTS_CLUSTER;
        return weft_cluster_read(c->parallel.cluster, c->run.threads,
                                 &m->cluster);
    }
    WEFT_TRY(weft_device_find(c->run.kernels, NULL, &dev));
    m->cluster = weft_cost_nominal(dev, threads);
    m->cluster.node_bytes = c->run.memory * 1073741824;
    return WEFT_OK;
}

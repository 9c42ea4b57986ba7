#include "launch/machine.h"

#include "launch/cluster.h"
#include "launch/kernels.h"

const char *const weft_costs_name[] = {"nominal", "cluster", "measured"};

weft_status weft_machine_find(const weft_config *c, int threads,
                              weft_machine *m)
{
    const weft_device *dev;

    *m = (weft_machine){.from = WEFT_COSTS_NOMINAL};
    if (c->parallel.cluster) {
        m->from = WEFT_COSTS_CLUSTER;
        WEFT_TRY(weft_cluster_read(c->parallel.cluster, c->run.threads,
                                   &m->cluster));
        return WEFT_OK;
    }
    WEFT_TRY(weft_kernels_find(c, &dev));
    m->cluster = weft_cost_nominal(dev, threads);
    m->cluster.node_bytes = c->run.memory * 1073741824;
    return WEFT_OK;
}

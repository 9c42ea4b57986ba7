/* family.c - the classes of schedulers. */
#include "core/solve/family.h"

#include <string.h>

/* ---- flows --------------------------------------------------------------- */

/* A net of a flow predicts the way from noise to image, at times that no betas
 * make; its numbers taken for noise give a picture of nothing. */
static weft_status fail_flow(const weft_options *f, const char *key,
                             const char *what)
{
    return weft_fail(
        WEFT_EINPUT,
        "%s: %s %.80s is of flow matching, for nets that predict a velocity "
        "(Stable Diffusion 3, Flux); the U-Nets that weft samples predict "
        "epsilon, v or the sample, at noise levels made of betas. Give the "
        "schedule that the net was trained with: schedule.path=FOLDER of "
        "another model of its family, or of a scheduler_config.json such as "
        "{\"_class_name\": \"EulerDiscreteScheduler\", \"beta_schedule\": "
        "\"scaled_linear\", \"beta_start\": 0.00085, \"beta_end\": 0.012, "
        "\"prediction_type\": \"epsilon\"} (Stable Diffusion 1 and XL)",
        weft_option_place(f, key), key, what);
}

/* FlowMatchEulerDiscreteScheduler and its like. */
static bool is_flow(const char *class_name)
{
    return strncmp(class_name, "FlowMatch", 9) == 0 ||
           strncmp(class_name, "FlowMap", 7) == 0;
}

weft_status weft_flows_refuse(const weft_options *f)
{
    const char *class_name = "";
    bool on;

    if (f->config)
        WEFT_TRY(weft_json_string(f->config, "_class_name", "", &class_name));
    if (is_flow(class_name)) return fail_flow(f, "_class_name", class_name);
    if (weft_option_is(f, "prediction_type", "flow_prediction"))
        return fail_flow(f, "prediction_type", "flow_prediction");
    WEFT_TRY(weft_option_bool(f, "use_flow_sigmas", false, &on));
    return on ? fail_flow(f, "use_flow_sigmas", "true") : WEFT_OK;
}

/* ---- solvers ------------------------------------------------------------- */

weft_status weft_noise_schedule_solver(const weft_json *config,
                                       weft_solver_kind fallback,
                                       weft_solver_kind *solver)
{
    static const char *const of[WEFT_SOLVERS] = {
        [WEFT_DDIM] = "DDIMScheduler",
        [WEFT_EULER] = "EulerDiscreteScheduler",
        [WEFT_EULER_A] = "EulerAncestralDiscreteScheduler",
        [WEFT_HEUN] = "HeunDiscreteScheduler",
        [WEFT_DPMPP_2M] = "DPMSolverMultistepScheduler",
        [WEFT_DPMPP_2S] = "DPMSolverSinglestepScheduler",
        [WEFT_DPMPP_SDE] = "DPMSolverSDEScheduler",
        [WEFT_UNIPC] = "UniPCMultistepScheduler",
        [WEFT_LMS] = "LMSDiscreteScheduler",
        [WEFT_PNDM] = "PNDMScheduler",
        [WEFT_LCM] = "LCMScheduler",
        [WEFT_TCD] = "TCDScheduler"};
    const char *name = NULL;

    WEFT_TRY(weft_flows_refuse(&(weft_options){.config = config}));
    WEFT_TRY(weft_json_string(config, "_class_name", NULL, &name));
    *solver = fallback;
    if (!name) return WEFT_OK;
    for (int k = 0; k < WEFT_SOLVERS; k++)
        if (of[k] && strcmp(name, of[k]) == 0) {
            *solver = (weft_solver_kind)k;
            return WEFT_OK;
        }
    return weft_fail(WEFT_EINPUT,
                     "%s: no solver of weft is a %.80s; sample.solver says "
                     "which to take instead",
                     weft_json_name(config), name);
}

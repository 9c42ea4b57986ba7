/* inspect_schedule.c - schedules in words. */
#include "core/model/component.h"
#include "core/solve/schedule.h"
#include "launch/inspect_model.h"

static bool takes(const weft_json *json, weft_solver_kind solver)
{
    weft_noise_schedule schedule;

    if (weft_noise_schedule_read(json, NULL, solver, &schedule) != WEFT_OK)
        return false;
    weft_noise_schedule_release(&schedule);
    return true;
}

/* The solver that the class stands for; of another class some solver may take
 * what the file says. */
static void print_solver(const weft_json *json, bool *runs, FILE *out)
{
    weft_solver_kind solver;

    if (weft_noise_schedule_solver(json, WEFT_DDIM, &solver) == WEFT_OK) {
        *runs = takes(json, solver);
        if (*runs) fprintf(out, "  solver %s\n", weft_solver_name[solver]);
    } else {
        *runs = false;
        for (int k = 0; k < WEFT_SOLVERS && !*runs; k++)
            *runs = takes(json, (weft_solver_kind)k);
        if (*runs)
            fputs("  no solver is of its class: sample.solver says which one "
                  "to take\n",
                  out);
    }
    if (*runs) return;
    fputs("  weft cannot run it: ", out);
    weft_inspect_print(out, weft_fail_text(), 700);
    putc('\n', out);
}

weft_status weft_inspect_schedule(const char *path, const char *name,
                                  bool *runs, FILE *out)
{
    const char *class, *beta, *prediction, *spacing;
    weft_json *json;
    weft_status s;
    int steps;

    WEFT_TRY(weft_component_scheduler(path, &json));
    s = weft_json_string(json, "_class_name", "a scheduler", &class);
    if (s == WEFT_OK)
        s = weft_json_string(json, "beta_schedule", "default", &beta);
    if (s == WEFT_OK)
        s = weft_json_string(json, "prediction_type", "default", &prediction);
    if (s == WEFT_OK)
        s = weft_json_string(json, "timestep_spacing", "default", &spacing);
    if (s == WEFT_OK)
        s = weft_json_int(json, "num_train_timesteps", 1000, 1, 1000000,
                          &steps);
    if (s == WEFT_OK) {
        weft_inspect_head(out, name, class);
        fprintf(out, "  %d train steps, betas ", steps);
        weft_inspect_print(out, beta, 40);
        fputs(", predicts ", out);
        weft_inspect_print(out, prediction, 40);
        fputs(", spacing ", out);
        weft_inspect_print(out, spacing, 40);
        putc('\n', out);
        print_solver(json, runs, out);
    }
    weft_json_free(json);
    return s;
}

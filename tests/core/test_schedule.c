/* Reading schedules: constants, defaults by class, and what is refused. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "core/solve/schedule.h"

static weft_status read_pair(const char *config, const char *override,
                             weft_solver_kind kind, weft_noise_schedule *s)
{
    weft_json *a = NULL, *b = NULL;
    weft_status st;

    if (config)
        assert_int_equal(weft_json_parse("c.json", config, strlen(config), &a),
                         WEFT_OK);
    if (override)
        assert_int_equal(
            weft_json_parse("inline", override, strlen(override), &b), WEFT_OK);
    st = weft_noise_schedule_read(a, b, kind, s);
    weft_json_free(a);
    weft_json_free(b);
    return st;
}

/* Constants of Stable Diffusion's schedule and of ADM's, from the papers'
 * code. */
static void test_known_constants(void **state)
{
    static const char sd[] = "{\"beta_schedule\": \"scaled_linear\","
                             "\"beta_start\": 0.00085, \"beta_end\": 0.012}";
    weft_noise_schedule s;

    (void)state;
    assert_int_equal(read_pair(sd, NULL, WEFT_DDIM, &s), WEFT_OK);
    assert_int_equal(s.train_steps, 1000);
    assert_float_equal(s.abar[0], .99915, 1e-6);
    assert_float_equal(s.abar[249], .675432, 1e-6);
    assert_float_equal(s.abar[499], .277670, 1e-6);
    assert_float_equal(s.abar[625], .137769, 1e-6);
    assert_float_equal(s.abar[749], .0566235, 1e-7);
    assert_float_equal(s.abar[999], .00466010, 1e-8);
    assert_float_equal(weft_noise_schedule_sigma(&s, 0), .0291672, 1e-6);
    assert_float_equal(weft_noise_schedule_sigma(&s, 999), 14.614642, 1e-5);
    weft_noise_schedule_release(&s);
    assert_int_equal(read_pair(NULL, NULL, WEFT_EULER, &s), WEFT_OK);
    assert_float_equal(weft_noise_schedule_sigma(&s, 0), .0100005, 1e-6);
    assert_float_equal(weft_noise_schedule_sigma(&s, 999), 157.407281, 1e-3);
    weft_noise_schedule_release(&s);
}

static void test_defaults_are_the_class(void **state)
{
    static const weft_spacing spacing[WEFT_SOLVERS] = {
        [WEFT_DDIM] = WEFT_SPACING_LEADING,
        [WEFT_EULER] = WEFT_SPACING_LINSPACE,
        [WEFT_EULER_A] = WEFT_SPACING_LINSPACE,
        [WEFT_HEUN] = WEFT_SPACING_LINSPACE,
        [WEFT_DPMPP_2M] = WEFT_SPACING_LINSPACE,
        [WEFT_DPMPP_2M_SDE] = WEFT_SPACING_LINSPACE,
        [WEFT_DPMPP_3M_SDE] = WEFT_SPACING_LINSPACE,
        [WEFT_DPMPP_2S] = WEFT_SPACING_LINSPACE,
        [WEFT_DPMPP_2S_A] = WEFT_SPACING_LINSPACE,
        [WEFT_DPMPP_SDE] = WEFT_SPACING_LINSPACE,
        [WEFT_UNIPC] = WEFT_SPACING_LINSPACE,
        [WEFT_LMS] = WEFT_SPACING_LINSPACE,
        [WEFT_PNDM] = WEFT_SPACING_LEADING,
        [WEFT_LCM] = WEFT_SPACING_LINSPACE,
        [WEFT_TCD] = WEFT_SPACING_LINSPACE};
    static const bool latent[WEFT_SOLVERS] = {[WEFT_HEUN] = true,
                                              [WEFT_DPMPP_2S_A] = true,
                                              [WEFT_DPMPP_SDE] = true,
                                              [WEFT_LCM] = true,
                                              [WEFT_TCD] = true};

    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++) {
        const double b0 = latent[k] ? .00085 : .0001;
        weft_noise_schedule s;

        assert_int_equal(
            read_pair("{\"trained_betas\": null, \"_class_name\": \"X\"}", NULL,
                      (weft_solver_kind)k, &s),
            WEFT_OK);
        assert_int_equal(s.spacing, spacing[k]);
        assert_int_equal(s.prediction, WEFT_PREDICT_EPSILON);
        assert_int_equal(s.steps_offset, 0);
        assert_float_equal(s.abar[0], 1 - b0, 1e-6);
        assert_int_equal(s.clip_sample, k == WEFT_DDIM);
        assert_true(s.final_abar == (k == WEFT_PNDM ? s.abar[0] : 1));
        assert_int_equal(s.final_sigma, WEFT_FINAL_ZERO);
        assert_true(s.lower_order_final ==
                    (k == WEFT_DPMPP_2M || k == WEFT_UNIPC));
        weft_noise_schedule_release(&s);
    }
}

static void test_override_wins(void **state)
{
    weft_noise_schedule s;

    (void)state;
    assert_int_equal(read_pair("{\"timestep_spacing\": \"leading\","
                               "\"steps_offset\": 1, \"clip_sample\": false}",
                               "{\"timestep_spacing\": \"trailing\"}",
                               WEFT_DDIM, &s),
                     WEFT_OK);
    assert_int_equal(s.spacing, WEFT_SPACING_TRAILING);
    assert_int_equal(s.steps_offset, 1);
    assert_false(s.clip_sample);
    weft_noise_schedule_release(&s);
}

/* One file for all: keys of other classes are passed over, as is an option
 * that is off. */
static void test_files_of_other_classes_load(void **state)
{
    static const char pndm[] =
        "{\"_class_name\": \"PNDMScheduler\", \"skip_prk_steps\": true,"
        "\"set_alpha_to_one\": false, \"clip_sample\": false,"
        "\"thresholding\": false, \"use_karras_sigmas\": false,"
        "\"solver_type\": \"bh2\", \"predict_x0\": true,"
        "\"disable_corrector\": [], \"lambda_min_clipped\": -5.1,"
        "\"variance_type\": \"fixed_small\", \"sigma_min\": null}";
    weft_noise_schedule s;

    (void)state;
    for (int k = 0; k < WEFT_SOLVERS; k++) {
        assert_int_equal(read_pair(pndm, NULL, (weft_solver_kind)k, &s),
                         WEFT_OK);
        assert_float_equal(s.final_abar,
                           k == WEFT_DDIM || k == WEFT_PNDM ? .9999 : 1, 1e-6);
        weft_noise_schedule_release(&s);
    }
}

typedef struct refusal {
    int solver; /* WEFT_SOLVERS: all */
    const char *config, *word;
} refusal;

static const refusal refused[] = {
    {WEFT_SOLVERS, "{\"shift\": 3.0}", "\"shift\""},
    {WEFT_SOLVERS, "{\"sigma_data\": 0.5}", "\"sigma_data\""},
    {WEFT_SOLVERS, "{\"beta_schedule\": \"quadratic\"}", "quadratic"},
    {WEFT_SOLVERS, "{\"prediction_type\": \"flow_prediction\"}", "flow"},
    {WEFT_EULER, "{\"timestep_spacing\": \"karras\"}", "timestep_spacing"},
    {WEFT_SOLVERS, "{\"num_train_timesteps\": 0}", "num_train_timesteps"},
    {WEFT_SOLVERS, "{\"num_train_timesteps\": 2000000000}", "num_train"},
    {WEFT_SOLVERS, "{\"num_train_timesteps\": 1.5}", "num_train_timesteps"},
    {WEFT_DDIM, "{\"steps_offset\": -1}", "steps_offset"},
    {WEFT_HEUN, "{\"rescale_betas_zero_snr\": true}", "rescale_betas"},
    {WEFT_DPMPP_2S, "{\"rescale_betas_zero_snr\": true}", "rescale_betas"},
    {WEFT_DPMPP_2S_A, "{\"rescale_betas_zero_snr\": true}", "rescale_betas"},
    {WEFT_DPMPP_SDE, "{\"rescale_betas_zero_snr\": true}", "rescale_betas"},
    {WEFT_LMS, "{\"rescale_betas_zero_snr\": true}", "rescale_betas"},
    {WEFT_PNDM, "{\"rescale_betas_zero_snr\": true}", "rescale_betas"},
    {WEFT_EULER, "{\"thresholding\": true}", "thresholding"},
    {WEFT_LMS, "{\"use_flow_sigmas\": true}", "use_flow_sigmas"},
    {WEFT_DPMPP_2M, "{\"exact3\": true}", "exact3 needs solver_order 3"},
    {WEFT_SOLVERS, "{\"beta_start\": -0.1}", "beta_start"},
    {WEFT_SOLVERS, "{\"beta_start\": 0}", "train step 0"},
    {WEFT_SOLVERS, "{\"beta_end\": 1e300}", "beta_end"},
    {WEFT_SOLVERS, "{\"trained_betas\": [0.1, 0.2]}", "trained_betas"},
    {WEFT_SOLVERS,
     "{\"num_train_timesteps\": 2, \"trained_betas\": [0.1, 1.5]}",
     "train step 1"},
    {WEFT_SOLVERS,
     "{\"num_train_timesteps\": 2, \"trained_betas\": [0.5, -0.5]}",
     "train step 1"},
    {WEFT_DDIM, "{\"thresholding\": true}", "thresholding"},
    {WEFT_DDIM, "{\"clip_sample_range\": 0}", "clip_sample_range"},
    {WEFT_EULER, "{\"interpolation_type\": \"log_linear\"}", "log_linear"},
    {WEFT_EULER, "{\"timestep_type\": \"continuous\"}", "continuous"},
    {WEFT_EULER, "{\"final_sigmas_type\": \"max\"}", "final_sigmas_type"},
    {WEFT_DPMPP_2M, "{\"use_flow_sigmas\": true}", "use_flow_sigmas"},
    {WEFT_DPMPP_2M, "{\"use_dynamic_shifting\": true}", "use_dynamic"},
    {WEFT_DPMPP_2M, "{\"thresholding\": true}", "thresholding"},
    {WEFT_DPMPP_2M, "{\"algorithm_type\": \"euler\"}", "algorithm_type"},
    {WEFT_DPMPP_2M, "{\"algorithm_type\": \"dpmsolver\"}", "sigma_min"},
    {WEFT_DPMPP_2M,
     "{\"algorithm_type\": \"sde-dpmsolver++\", \"solver_order\": 3}",
     "dpmpp_3m_sde"},
    {WEFT_DPMPP_2M, "{\"solver_type\": \"euler\"}", "solver_type"},
    {WEFT_DPMPP_2M, "{\"solver_order\": 4}", "solver_order"},
    {WEFT_DPMPP_2M, "{\"use_karras_sigmas\": true, \"use_lu_lambdas\": true}",
     "use_karras_sigmas and use_lu_lambdas"},
    {WEFT_EULER, "{\"use_beta_sigmas\": true, \"sigma_min\": 0}", "sigma_min"},
    {WEFT_EULER,
     "{\"use_beta_sigmas\": true, \"sigma_min\": 9, \"sigma_max\": 2}",
     "sigma_max"},
    {WEFT_DPMPP_2S,
     "{\"algorithm_type\": \"sde-dpmsolver\","
     "\"final_sigmas_type\": \"sigma_min\"}",
     "sde-dpmsolver"},
    {WEFT_DPMPP_SDE, "{\"noise_sampler_seed\": 3}", "noise_sampler_seed"},
    {WEFT_DPMPP_SDE, "{\"prediction_type\": \"sample\"}", "epsilon or v"},
    {WEFT_PNDM, "{\"prediction_type\": \"sample\"}", "epsilon or v"},
    {WEFT_UNIPC, "{\"solver_type\": \"bh3\"}", "bh3"},
    {WEFT_UNIPC, "{\"predict_x0\": false}", "sigma_min"},
    {WEFT_UNIPC, "{\"lower_order_final\": false}", "sigma_min"},
    {WEFT_UNIPC, "{\"solver_p\": {}}", "solver_p"},
    {WEFT_UNIPC, "{\"disable_corrector\": [-1]}", "disable_corrector"},
    {WEFT_UNIPC, "{\"use_flow_sigmas\": true}", "use_flow_sigmas"},
    {WEFT_UNIPC, "{\"thresholding\": true}", "thresholding"},
    {WEFT_LCM, "{\"original_inference_steps\": 0}", "original_inference"},
    {WEFT_TCD, "{\"clip_sample\": true}", "clip_sample"},
    {WEFT_DDIM,
     "{\"rescale_betas_zero_snr\": true, \"num_train_timesteps\": 1}",
     "rescale_betas_zero_snr"},
    {WEFT_DPMPP_2M, "{\"variance_type\": \"learned_range\"}", "learned_range"},
    {WEFT_DPMPP_2M, "{\"lower_order_final\": 1}", "lower_order_final"},
};

static void check_refused(const refusal *r, weft_solver_kind kind)
{
    weft_noise_schedule s = {.train_steps = -7};

    assert_int_equal(read_pair(r->config, NULL, kind, &s), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), r->word));
    assert_non_null(strstr(weft_fail_text(), "c.json"));
    assert_int_equal(read_pair(NULL, r->config, kind, &s), WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "inline"));
    assert_int_equal(s.train_steps, -7);
}

static void test_refused_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        for (int k = 0; k < WEFT_SOLVERS; k++)
            if (refused[i].solver == WEFT_SOLVERS || refused[i].solver == k)
                check_refused(&refused[i], (weft_solver_kind)k);
}

static weft_status solver_for(const char *config, weft_solver_kind *kind)
{
    weft_json *j;
    weft_status st;

    assert_int_equal(weft_json_parse("c.json", config, strlen(config), &j),
                     WEFT_OK);
    st = weft_noise_schedule_solver(j, WEFT_HEUN, kind);
    weft_json_free(j);
    return st;
}

static void test_class_names_a_solver(void **state)
{
    weft_solver_kind k;

    (void)state;
    assert_int_equal(
        solver_for("{\"_class_name\": \"UniPCMultistepScheduler\"}", &k),
        WEFT_OK);
    assert_int_equal(k, WEFT_UNIPC);
    assert_int_equal(solver_for("{\"_class_name\": \"PNDMScheduler\"}", &k),
                     WEFT_OK);
    assert_int_equal(k, WEFT_PNDM);
    assert_int_equal(solver_for("{}", &k), WEFT_OK);
    assert_int_equal(k, WEFT_HEUN);
    assert_int_equal(
        solver_for("{\"_class_name\": \"DEISMultistepScheduler\"}", &k),
        WEFT_EINPUT);
    assert_non_null(strstr(weft_fail_text(), "DEISMultistepScheduler"));
    assert_non_null(strstr(weft_fail_text(), "sample.solver"));
}

/* Whether the solver is asked for or not: what it is, why not, and what to type
 * in its place, which is a schedule. */
static void test_flows_are_refused_with_advice(void **state)
{
    static const char *const flow[][2] = {
        {"{\"_class_name\": \"FlowMatchEulerDiscreteScheduler\"}",
         "c.json: _class_name FlowMatchEulerDiscreteScheduler is of flow"},
        {"{\"_class_name\": \"FlowMatchHeunDiscreteScheduler\", \"shift\": "
         "3.0}",
         "FlowMatchHeunDiscreteScheduler is of flow"},
        {"{\"_class_name\": \"DPMSolverMultistepScheduler\", "
         "\"prediction_type\": \"flow_prediction\"}",
         "prediction_type flow_prediction is of flow"},
        {"{\"_class_name\": \"UniPCMultistepScheduler\", "
         "\"use_flow_sigmas\": true}",
         "use_flow_sigmas true is of flow"},
    };
    weft_noise_schedule s;
    weft_solver_kind k;
    const char *advice, *end;
    char typed[256];
    weft_json *j;

    (void)state;
    for (size_t i = 0; i < sizeof flow / sizeof *flow; i++) {
        assert_int_equal(solver_for(flow[i][0], &k), WEFT_EINPUT);
        assert_non_null(strstr(weft_fail_text(), flow[i][1]));
        for (int solver = 0; solver < WEFT_SOLVERS; solver++) {
            assert_int_equal(
                read_pair(flow[i][0], NULL, (weft_solver_kind)solver, &s),
                WEFT_EINPUT);
            assert_non_null(strstr(weft_fail_text(), flow[i][1]));
        }
    }
    assert_non_null(strstr(weft_fail_text(), "schedule.path=FOLDER"));
    advice = strchr(weft_fail_text(), '{');
    end = strchr(weft_fail_text(), '}');
    assert_non_null(advice);
    assert_non_null(end);
    snprintf(typed, sizeof typed, "%.*s", (int)(end + 1 - advice), advice);
    assert_int_equal(solver_for(typed, &k), WEFT_OK);
    assert_int_equal(k, WEFT_EULER);
    assert_int_equal(weft_json_parse("c.json", typed, strlen(typed), &j),
                     WEFT_OK);
    assert_int_equal(weft_noise_schedule_read(j, NULL, k, &s), WEFT_OK);
    weft_noise_schedule_release(&s);
    weft_json_free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_constants),
        cmocka_unit_test(test_defaults_are_the_class),
        cmocka_unit_test(test_override_wins),
        cmocka_unit_test(test_files_of_other_classes_load),
        cmocka_unit_test(test_refused_by_name),
        cmocka_unit_test(test_class_names_a_solver),
        cmocka_unit_test(test_flows_are_refused_with_advice),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

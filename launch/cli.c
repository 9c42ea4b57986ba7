#include "launch/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "launch/suggest.h"
#include "launch/version.h"

static const char help[] =
    "usage: weft COMMAND ...\n"
    "\n"
    "  weft sample  CONFIG [KEY=VALUE ...]    make images (under mpirun or\n"
    "                                         srun, or alone)\n"
    "  weft dataset CONFIG [KEY=VALUE ...] [--retry-failed]\n"
    "                                         make a data set in shards, or "
    "go\n"
    "                                         on with one\n"
    "  weft plan    CONFIG [KEY=VALUE ...] [--ranks N] [--json]\n"
    "                       [--cluster FILE]  show who would do what\n"
    "  weft bench   CONFIG [KEY=VALUE ...]    time it, as JSON lines\n"
    "  weft inspect PATH [--verify]           a model folder, safetensors, "
    "PNG,\n"
    "                                         checkpoint or data set in words\n"
    "  weft COMMAND --help                    more about a command\n"
    "  weft --version\n"
    "\n"
    "KEY is a dotted path into the config and VALUE is YAML:\n"
    "  sample.steps=20    sample.seeds=0-7    sample.nodes=[999,500,1]\n"
    "docs/config.md has every key.\n"
    "\n"
    "exit codes: 0 done, 1 failed, 2 usage, config or input not right,\n"
    "75 stopped by SIGUSR1 with work left: the same command goes on\n";

static const char help_sample[] =
    "usage: weft sample CONFIG [KEY=VALUE ...]\n"
    "\n"
    "Make the images that CONFIG describes, one for each seed. Started by\n"
    "mpirun or srun, the ranks share each image by rows; the bytes of the\n"
    "image do not depend on how many they are. CONFIG may also be a PNG that\n"
    "weft made: it is made again, as STEM-again.png.\n"
    "\n"
    "On SIGUSR1 the ranks finish their step, keep what is in flight in .weft\n"
    "beside the images (or run.state) and end with exit code 75; the same\n"
    "command goes on from there, on any number of ranks. run.checkpoint=10\n"
    "keeps it every 10 steps as well, run.checkpoint=60s every 60 seconds.\n"
    "\n"
    "sample.solver is ddim, euler, euler_ancestral, heun, lms, pndm, unipc,\n"
    "dpmpp_2m, dpmpp_2m_sde, dpmpp_3m_sde, dpmpp_2s, dpmpp_2s_ancestral,\n"
    "dpmpp_sde, lcm or tcd; left out, the one for the class that the\n"
    "scheduler_config.json of schedule.path names.\n"
    "\n"
    "Relative paths in CONFIG are relative to it, those of KEY=VALUE to the\n"
    "working directory.\n"
    "\n"
    "  weft sample configs/demo.yaml\n"
    "  mpirun -n 4 weft sample configs/demo.yaml sample.seed=1\n"
    "  weft sample configs/demo.yaml sample.seeds=0-7 "
    "'output.image=out-{seed}.png'\n"
    "  weft sample demo-7.png sample.steps=50 output.image=finer.png\n";

static const char help_plan[] =
    "usage: weft plan CONFIG [KEY=VALUE ...] [--ranks N] [--json]\n"
    "                 [--cluster FILE]\n"
    "\n"
    "Show what `weft sample` would do on N ranks: each rank's rows, exchanges\n"
    "and memory. Needs no MPI and of the models only their headers.\n"
    "\n"
    "  --ranks N       plan for N ranks instead of 1\n"
    "  --json          print one JSON object\n"
    "  --cluster FILE  predict times and memory on the machines that FILE\n"
    "                  describes, and advise (parallel.cluster); weft bench\n"
    "                  CONFIG bench.cluster=FILE writes one for those at hand\n"
    "\n"
    "  weft plan configs/demo.yaml --ranks 4\n"
    "  weft plan configs/demo.yaml sample.width=1024 --ranks 8 --json\n"
    "  weft plan configs/demo.yaml --ranks 8 --cluster cluster.yaml\n";

static const char help_bench[] =
    "usage: weft bench CONFIG [KEY=VALUE ...]\n"
    "\n"
    "Time the parts of CONFIG's run and print JSON lines. bench.what is all "
    "or\n"
    "one of these, bench.runs says how often:\n"
    "\n"
    "  unet_eval   one guided evaluation of one sample, in step\n"
    "  vae_decode  one picture from its latents\n"
    "  image       all steps and the decoding; nothing is written\n"
    "  step        evaluations one after the other, as a run makes them, and\n"
    "              what they send and wait for\n"
    "  layers      evaluation and decoding by class of layer\n"
    "\n"
    "bench.link=none exchanges nothing (a wrong image, in the time of an\n"
    "infinitely fast network), bench.link=blocking waits for everything at\n"
    "once: what hiding is worth. bench.cluster=FILE measures speeds and links\n"
    "instead, and writes FILE for weft plan --cluster.\n"
    "\n"
    "  weft bench configs/bench.yaml\n"
    "  mpirun -n 2 weft bench configs/bench.yaml bench.what=unet_eval "
    "bench.runs=20\n";

static const char help_inspect[] =
    "usage: weft inspect PATH [--verify]\n"
    "\n"
    "Say in words what PATH is, and what weft can do with it: a folder with a\n"
    "model, with a pipeline or with several, a .safetensors file (a model, a\n"
    "whole checkpoint, a LoRA), a PNG, a checkpoint in .weft, or the folder "
    "of\n"
    "a data set. Of a data set it says what is done, left and failed, and "
    "writes\n"
    "index.html into the folder: a contact sheet for a browser.\n"
    "\n"
    "  --verify        hash every shard; exit 1 and the names if some are not\n"
    "                  as they were written\n"
    "\n"
    "  weft inspect models/demo\n"
    "  weft inspect configs/demo-7.png\n";

static const char help_dataset[] =
    "usage: weft dataset CONFIG [KEY=VALUE ...] [--retry-failed]\n"
    "\n"
    "Make the items of dataset.manifest, or of the rule in dataset.items, in\n"
    "shards under output.dir: 000123.tar beside its mark 000123.json. Ranks\n"
    "take shards from a queue and never wait for each other. The same command\n"
    "goes on with what is left, on any number of ranks; the bytes of an item\n"
    "depend on the item and the models alone.\n"
    "\n"
    "  --retry-failed  make items again that were not a number or black\n"
    "\n"
    "exit 75: stopped by SIGUSR1 with work left; start it again\n"
    "\n"
    "  weft dataset configs/dataset.yaml output.dir=out\n"
    "  mpirun -n 8 weft dataset configs/dataset.yaml dataset.shard_size=500\n";

static const char version[] = "weft " WEFT_VERSION "\n";

typedef struct command {
    const char *name;
    weft_command command;
    const char *help;
    const char *operand;
    bool overrides; /* takes KEY=VALUE */
} command;

static const command commands[] = {
    {"sample", WEFT_COMMAND_SAMPLE, help_sample, "CONFIG", true},
    {"plan", WEFT_COMMAND_PLAN, help_plan, "CONFIG", true},
    {"dataset", WEFT_COMMAND_DATASET, help_dataset, "CONFIG", true},
    {"bench", WEFT_COMMAND_BENCH, help_bench, "CONFIG", true},
    {"inspect", WEFT_COMMAND_INSPECT, help_inspect, "PATH", false},
};

enum { COMMANDS = sizeof commands / sizeof *commands };

static weft_status unknown(const char *what, const char *word,
                           const char *const *known, int n)
{
    char hint[160];

    return weft_fail(WEFT_EINPUT, "unknown %s \"%.80s\"%s", what, word,
                     weft_suggest_text(word, known, n, hint, sizeof hint));
}

static weft_status find_command(const char *word, const command **found)
{
    const char *known[COMMANDS];

    for (int i = 0; i < COMMANDS; i++) {
        known[i] = commands[i].name;
        if (strcmp(word, known[i]) != 0) continue;
        *found = &commands[i];
        return WEFT_OK;
    }
    return unknown("command", word, known, COMMANDS);
}

static weft_status read_ranks(const char *value, weft_cli *cli)
{
    char *end;
    long ranks;

    errno = 0;
    ranks = strtol(value, &end, 10);
    if (end == value || *end != '\0' || errno != 0 || ranks < 1 ||
        ranks > WEFT_MAX_RANKS)
        return weft_fail(WEFT_EINPUT,
                         "--ranks: expected 1 to %d, found \"%.80s\"",
                         WEFT_MAX_RANKS, value);
    cli->ranks = (int)ranks;
    return WEFT_OK;
}

/* Of a list that ends with NULL, or is full. */
static int options_of(const char *const known[4])
{
    int n = 0;

    while (n < 4 && known[n]) n++;
    return n;
}

/* The option at argv[*i]; *i moves over its value where that is a word of its
 * own. argv ends with NULL. */
static weft_status read_option(const command *c, char *const *argv, int *i,
                               weft_cli *cli)
{
    static const char *const known[][4] = {
        [WEFT_COMMAND_PLAN] = {"--help", "--ranks", "--json", "--cluster"},
        [WEFT_COMMAND_DATASET] = {"--help", "--retry-failed"},
        [WEFT_COMMAND_INSPECT] = {"--help", "--verify"},
        [WEFT_COMMAND_SAMPLE] = {"--help"},
        [WEFT_COMMAND_BENCH] = {"--help"},
    };
    const bool plan = c->command == WEFT_COMMAND_PLAN;
    const char *word = argv[*i];

    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        cli->show = c->help;
    } else if (c->command == WEFT_COMMAND_DATASET &&
               strcmp(word, "--retry-failed") == 0) {
        cli->retry = true;
    } else if (c->command == WEFT_COMMAND_INSPECT &&
               strcmp(word, "--verify") == 0) {
        cli->verify = true;
    } else if (plan && strcmp(word, "--json") == 0) {
        cli->json = true;
    } else if (plan && strncmp(word, "--ranks=", 8) == 0) {
        return read_ranks(word + 8, cli);
    } else if (plan && strcmp(word, "--ranks") == 0) {
        if (argv[*i + 1] == NULL)
            return weft_fail(WEFT_EINPUT, "--ranks: expected a number");
        return read_ranks(argv[++*i], cli);
    } else if (plan && strncmp(word, "--cluster=", 10) == 0) {
        cli->cluster = word + 10;
    } else if (plan && strcmp(word, "--cluster") == 0) {
        if (argv[*i + 1] == NULL)
            return weft_fail(WEFT_EINPUT, "--cluster: expected a file");
        cli->cluster = argv[++*i];
    } else {
        char what[48];
        snprintf(what, sizeof what, "option of weft %s", c->name);
        return unknown(what, word, known[c->command],
                       options_of(known[c->command]));
    }
    return WEFT_OK;
}

/* The first plain word is the operand. One that looks like an override is
 * taken for a slip, unless a slash says that it is a path. */
static weft_status read_word(const command *c, const char *word, weft_cli *cli)
{
    const bool pair = strchr(word, '=') != NULL;

    if (cli->path == NULL) {
        if (pair && c->overrides && strchr(word, '/') == NULL)
            return weft_fail(WEFT_EINPUT,
                             "\"%.80s\" stands where %s should: weft %s %s "
                             "KEY=VALUE",
                             word, c->operand, c->name, c->operand);
        cli->path = word;
        return WEFT_OK;
    }
    if (!c->overrides)
        return weft_fail(WEFT_EINPUT,
                         "weft %s takes one %s; \"%.80s\" is one "
                         "too many",
                         c->name, c->operand, word);
    if (!pair)
        return weft_fail(WEFT_EINPUT, "expected KEY=VALUE, found \"%.80s\"",
                         word);
    if (cli->noverrides == WEFT_MAX_OVERRIDES)
        return weft_fail(WEFT_EINPUT, "more than %d times KEY=VALUE",
                         WEFT_MAX_OVERRIDES);
    cli->override[cli->noverrides++] = word;
    return WEFT_OK;
}

static weft_status read_words(const command *c, char *const *argv,
                              weft_cli *cli)
{
    cli->command = c->command;
    cli->ranks = 1;
    for (int i = 0; argv[i] != NULL; i++) {
        if (argv[i][0] == '-' && argv[i][1] != '\0')
            WEFT_TRY(read_option(c, argv, &i, cli));
        else
            WEFT_TRY(read_word(c, argv[i], cli));
    }
    if (cli->show != NULL)
        cli->command = WEFT_COMMAND_SHOW;
    else if (cli->path == NULL)
        return weft_fail(WEFT_EINPUT, "weft %s needs a %s; see weft %s --help",
                         c->name, c->operand, c->name);
    return WEFT_OK;
}

weft_status weft_cli_parse(int argc, char *const *argv, weft_cli *cli)
{
    static const char *const options[] = {"--help", "--version"};
    const double started = cli->started;
    const command *c = NULL;

    *cli = (weft_cli){.command = WEFT_COMMAND_SHOW, .started = started};
    if (argc < 2)
        return weft_fail(WEFT_EINPUT, "expected a command; see weft --help");
    const char *word = argv[1];
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        cli->show = help;
        return WEFT_OK;
    }
    if (strcmp(word, "--version") == 0) {
        cli->show = version;
        cli->library = true;
        return WEFT_OK;
    }
    if (word[0] == '-') return unknown("option", word, options, 2);
    WEFT_TRY(find_command(word, &c));
    return read_words(c, argv + 2, cli);
}

/*
 * Runs a fuzz target over the files of the folders given, once each: what the
 * fuzzer once found stays tested where there is no fuzzer.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *data = malloc(1 << 24);
    size_t n;

    if (!f || !data) {
        perror(path);
        return 1;
    }
    n = fread(data, 1, 1 << 24, f);
    /* As large as the input, so that reading past it is seen. */
    uint8_t *exact = malloc(n ? n : 1);
    for (size_t i = 0; exact && i < n; i++) exact[i] = data[i];
    free(data);
    fclose(f);
    if (!exact) return 1;
    LLVMFuzzerTestOneInput(exact, n);
    free(exact);
    return 0;
}

static int run_folder(const char *folder)
{
    DIR *d = opendir(folder);
    const struct dirent *e;
    int bad = 0, count = 0;

    if (!d) {
        perror(folder);
        return 1;
    }
    while ((e = readdir(d))) {
        char path[4096];
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        bad |= run_file(path);
        count++;
    }
    closedir(d);
    printf("%s: %d inputs\n", folder, count);
    return bad || count == 0;
}

int main(int argc, char **argv)
{
    int bad = argc < 2;

    for (int i = 1; i < argc; i++) bad |= run_folder(argv[i]);
    return bad;
}
